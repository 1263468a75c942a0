# SPDX-License-Identifier: AGPL-3.0-or-later
"""House rules that no linter knows."""

import ast
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


def test_text_from_child_processes_is_utf8_whatever_the_locale():
    """text=True decodes by the locale, which a library or a bare machine may set to ASCII."""
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for room in ("dronectl", "missions", "vision", "sim", "tests", "bench", "scripts")
        for file in (ROOT / room).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and (names := {keyword.arg for keyword in call.keywords}) & {"text", "universal_newlines"}
        and names & {"capture_output", "stdout", "stdin", "stderr"}
        and "encoding" not in names
    ]
    assert found == []


def test_files_stay_small():
    long = {
        str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_the_service_process_never_imports_cv2_an_engine_mavsdk_scipy_or_numba():
    """What `dronectl up` imports: its command line too, whose other commands may need them."""
    code = (
        "import json, sys, dronectl.service; from dronectl.cli.main import app; from typer.main import get_command;"
        "assert get_command(app).get_command(None, 'up');"
        "print(json.dumps([m for m in ('cv2', 'mavsdk', 'onnxruntime', 'openvino', 'ultralytics', 'torch', 'sim', 'scipy',"
        " 'numba') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=60, check=True)
    assert json.loads(done.stdout) == []
