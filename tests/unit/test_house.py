# SPDX-License-Identifier: AGPL-3.0-or-later
"""House rules that no linter knows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for room in ("dronectl", "missions", "vision", "sim") for p in (ROOT / room).rglob("*.py"))


def test_there_are_sources():
    assert len(SOURCES) > 30


@pytest.mark.parametrize("room", ["dronectl", "missions", "vision", "sim", "tests", "bench", "scripts"])
def test_every_file_carries_its_licence(room):
    without = [
        str(p.relative_to(ROOT))
        for p in (ROOT / room).rglob("*.py")
        if "SPDX-License-Identifier: AGPL-3.0-or-later" not in p.read_text(encoding="utf-8")[:200]
    ]
    assert without == []


def test_files_stay_small():
    long = {
        str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_the_service_process_never_imports_cv2_an_engine_or_mavsdk():
    code = (
        "import json, sys, dronectl.service, dronectl.cli.up;"
        "print(json.dumps([m for m in ('cv2', 'mavsdk', 'onnxruntime', 'openvino', 'ultralytics', 'torch', 'sim')"
        " if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == []
