# SPDX-License-Identifier: AGPL-3.0-or-later
"""The wheel works where it is installed: site, terrain, model and schemas are inside."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The wheel's content in a folder of its own; third-party packages come from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        capture_output=True,
        encoding="utf-8",
        timeout=200,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        cwd=cwd,
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(cwd)},
    )


def test_everything_comes_from_the_wheel(installed, tmp_path):
    code = (
        "import dronectl, missions, vision, sim, dronectl.paths as p, vision.model_card as m, dronectl.bus.schema as s;"
        "print(dronectl.__file__); print(p.default_site_file()); print(m.DEFAULT_MODEL.is_file() and m.read_card(m.COLOUR_MODEL).experimental); print(bool(s.read('alert')))"
    )
    done = run(installed, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    package, site, model, schema = done.stdout.split()
    assert Path(package).is_relative_to(installed)
    assert Path(site).is_relative_to(installed)
    assert (model, schema) == ("True", "True")


def test_it_plans_from_there(installed, tmp_path):
    done = run(installed, "-m", "dronectl", "plan", "patrol", "--out", str(tmp_path / "plans"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "plans" / "d1.plan").is_file()


def test_the_doctor_finds_the_model_and_an_engine_there(installed, tmp_path):
    done = run(installed, "-m", "dronectl", "doctor", "--json", cwd=tmp_path)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["inference engine"]["ok"], found["inference engine"]
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_speaks_chinese_from_there(installed, tmp_path):
    done = run(installed, "-m", "dronectl", "vehicles", "--lang", "zh", "--state", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 3
    assert "本站点没有服务在运行" in done.stderr


def test_licence_and_version_are_stated(installed):
    (info,) = installed.glob("*.dist-info")
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    assert "License-Expression: AGPL-3.0-or-later" in metadata
    assert "GNU AFFERO" in (info / "licenses" / "LICENSE").read_text(encoding="utf-8")
