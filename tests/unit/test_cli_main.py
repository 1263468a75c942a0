# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every mistake is one clear message with the right exit code, never a traceback."""

import subprocess
import sys

import pytest


def dronectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dronectl", *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--version"], 0, "dronectl"),
        (["--help"], 0, "demo"),
        ([], 2, "Usage"),
        (["nonsense"], 2, "nonsense"),
        (["sim", "--vehicles", "0"], 2, "--vehicles"),
        (["sim", "--vehicles", "x"], 2, "--vehicles"),
        (["hold", "--nonsense"], 2, "nonsense"),
        (["vehicles", "--site", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["check", "nowhere.plan"], 2, "nowhere.plan"),
        (["detect", "nowhere.jpg"], 2, "nowhere.jpg"),
        (["demo", "--px4", "nowhere"], 2, "nowhere"),
        (["demo", "picnic"], 2, "picnic"),
        (["demo", "search", "--px4", "."], 2, "search: --px4"),
        (["demo", "search", "--site", "nowhere.yaml"], 2, "nowhere.yaml: cannot be read"),
        (["vehicles", "--state", "nowhere"], 3, "no service runs"),
        (["alerts", "tail", "--broker", "http://x"], 2, "mqtt"),
    ],
)
def test_exit_codes(tmp_path, monkeypatch, arguments, code, words):
    monkeypatch.chdir(tmp_path)
    done = dronectl(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_evidence_index_that_is_none_is_one_line(tmp_path):
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "index.sqlite").write_text("no database", encoding="utf-8")
    done = dronectl("evidence", "find", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "index.sqlite: file is not a database" in done.stderr
    assert "Traceback" not in done.stderr
