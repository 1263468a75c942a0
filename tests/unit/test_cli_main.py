# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every mistake is one clear message with the right exit code, never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from dronectl.cli.main import app


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


@pytest.mark.parametrize("group", [get_command(app), get_command(app).get_command(None, "plan")])
def test_a_groups_help_says_of_each_command_what_its_own_begins_with(group):
    said = {name: line for name, (_, _, line) in group.lazy.items()}
    own = {name: " ".join(group.get_command(None, name).help.split("\n\n")[0].split()) for name in said}
    assert said == own


def test_help_waits_for_no_planner_and_no_engine():
    loud = [sys.executable, "-X", "importtime", "-m", "dronectl", "--help"]
    done = subprocess.run(loud, capture_output=True, encoding="utf-8", timeout=60, check=False)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"numpy", "pydantic", "cv2", "shapely", "httpx"}


LIDU = Path(__file__).parents[2] / "config" / "lidu"


@pytest.fixture(scope="module")
def chinese_plan(tmp_path_factory) -> Path:
    """A plan of a site that is named in Chinese, in a file named so."""
    folder = tmp_path_factory.mktemp("站")
    shutil.copy(LIDU / "terrain.npz", folder)
    text = (LIDU / "site.yaml").read_text(encoding="utf-8").replace("Market square", "集市广场")
    (folder / "site.yaml").write_text(text, encoding="utf-8")
    made = dronectl("plan", "patrol", "--iterations", "0", "--site", str(folder / "site.yaml"), "--out", str(folder))
    assert made.returncode == 0, made.stderr
    return (folder / "d1.plan").rename(folder / "巡逻.plan")


@pytest.mark.parametrize("charset", ["ascii", "latin-1", "gbk", "utf-8"])
def test_a_terminal_whose_character_set_lacks_something_gets_the_rest(chinese_plan, charset):
    command = [
        sys.executable,
        "-m",
        "dronectl",
        "check",
        str(chinese_plan),
        "--site",
        str(chinese_plan.parent / "site.yaml"),
    ]
    environment = {**os.environ, "PYTHONIOENCODING": charset}
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "巡逻.plan for d1: ".encode(charset, "backslashreplace") in done.stdout
    machine = subprocess.run([*command, "--json"], capture_output=True, timeout=60, check=False, env=environment)
    assert machine.returncode == 0, machine.stderr
    assert Path(json.loads(machine.stdout.decode(charset))["plan"]).name == chinese_plan.name


def test_line_100_of_a_file_is_no_picture_of_a_hundred(tmp_path):
    (tmp_path / "site.yaml").write_text("\n" * 99 + "speling: 1\n", encoding="utf-8")
    done = dronectl("plan", "patrol", "--site", str(tmp_path / "site.yaml"))
    assert done.returncode == 2
    assert f"{tmp_path}/site.yaml:100: speling: is not a field" in done.stderr


def test_a_file_whose_name_is_no_text_is_checked(tmp_path):
    plan = tmp_path / os.fsdecode(b"\xbc\xaf.plan")
    plan.write_text("no plan", encoding="utf-8")
    done = dronectl("check", str(plan), "--json")
    assert done.returncode == 2
    assert "\\udcbc\\udcaf.plan" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [["doctor", "--json"], ["--help"], ["vision", "advise", "--air", "25..37"]])
def test_output_that_is_not_taken_is_one_line(arguments):
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "dronectl", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: standard output: No space left on device\n"


def test_a_reader_that_goes_away_never_gets_the_code_of_a_plan_that_can_be_flown():
    command = [sys.executable, "-m", "dronectl", "vision", "advise", "--air", "25..37", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) == 1
    assert said == b""


def test_an_engine_that_is_none_is_bad_input_and_files_that_cannot_be_read_are_called_so(tmp_path):
    (tmp_path / "cut\x1b[31m.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    done = dronectl("detect", str(tmp_path), "--engine", "abacus")
    assert done.returncode == 2
    assert "engine 'abacus' is unknown; there are tensorrt, openvino" in done.stderr
    done = dronectl("detect", str(tmp_path), "--engine", "onnxruntime")
    assert done.returncode == 2
    assert "[1/1] cut\N{REPLACEMENT CHARACTER}[31m.jpg: unreadable\n" in done.stderr


def test_an_evidence_index_that_is_none_is_one_line(tmp_path):
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "index.sqlite").write_text("no database", encoding="utf-8")
    done = dronectl("evidence", "find", "--state", str(tmp_path))
    assert done.returncode == 2
    assert "index.sqlite: file is not a database" in done.stderr
    assert "Traceback" not in done.stderr
