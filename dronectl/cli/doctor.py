# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl doctor`: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from dronectl.cli.common import JsonOption, SiteOption, StateOption, open_site, out, print_json, site_state
from dronectl.errors import EXIT_UNAVAILABLE, BadInputError
from vision.model_card import DEFAULT_MODEL

_MIN_FREE_BYTES = 1024**3
_ULTRALYTICS = "pip install 'dronectl[yolo]' (several GB; only .pt models and training want it)"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's list."""

    name: str
    ok: bool
    needed: bool
    found: str
    mend: str = ""


def _package(module: str, distribution: str, needed: bool, mend: str) -> Check:
    try:
        present = importlib.util.find_spec(module) is not None
        found = importlib.metadata.version(distribution) if present else "absent"
    except (ImportError, importlib.metadata.PackageNotFoundError):
        present, found = False, "absent"
    return Check(distribution, present, needed, found, "" if present else mend)


def _engine_check() -> Check:
    """Run the shipped model once in a process of its own: an engine that is installed may still crash here."""
    code = "import sys, pathlib; from vision.engines.choose import load_engine; print(load_engine(pathlib.Path(sys.argv[1])).name)"
    command = [sys.executable, "-c", code, str(DEFAULT_MODEL)]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return Check(
            "inference engine",
            False,
            True,
            "did not answer in 60 s",
            f"try another with --engine; model {DEFAULT_MODEL}",
        )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Check("inference engine", False, True, last, "pip install onnxruntime")
    return Check("inference engine", True, True, done.stdout.strip())


def _tensorrt_check() -> Check:
    from vision.engines.tensorrt_parts import missing

    lack = missing()
    if lack is not None:
        return Check("TensorRT", False, False, f"{lack.what}; another engine serves", lack.mend)
    return Check("TensorRT", True, False, "its libraries load; the line above says which engine is used")


def _broker_check() -> Check:
    path = shutil.which("mosquitto")
    if path is None:
        return Check(
            "mosquitto",
            False,
            False,
            "absent; the slower amqtt serves instead, loopback only",
            "apt install mosquitto (or your system's package)",
        )
    try:
        done = subprocess.run(
            [path, "-h"], capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("mosquitto", False, False, f"{path} does not run ({type(error).__name__})", "install it again")
    return Check("mosquitto", True, False, (done.stdout.splitlines() or [path])[0])


def _px4_check(px4: Path | None) -> Check:
    path = px4 or (Path(found) if (found := shutil.which("px4")) else None)
    if path is None or not path.exists():
        return Check(
            "PX4 SITL",
            False,
            False,
            "absent; only `demo --px4 PATH` wants it",
            "install a PX4 SITL package or build px4_sitl_default, then name its folder with --px4",
        )
    return Check("PX4 SITL", True, False, str(path))


def _state_check(site_file: Path | None, state: Path | None) -> list[Check]:
    try:
        site = open_site(site_file)
    except BadInputError as error:
        return [Check("site file", False, True, str(error), "mend the named line")]
    checks = [
        Check("site file", True, True, f"{site.site_id}: {len(site.drones)} drones, terrain {site.terrain.source}")
    ]
    folder = site_state(site, state).root
    try:
        there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        free = shutil.disk_usage(there).free
    except OSError as error:
        return [*checks, Check("state folder", False, True, f"{folder}: {error.strerror}", "name another with --state")]
    writable = os.access(there, os.W_OK)
    checks.append(
        Check(
            "state folder",
            writable and free > _MIN_FREE_BYTES,
            True,
            f"{folder}, {free / 1024**3:.0f} GiB free",
            "" if writable and free > _MIN_FREE_BYTES else "name another with --state, or free some room",
        )
    )
    return checks


def _socket_path_check() -> Check:
    folder = tempfile.gettempdir()
    ok = os.access(folder, os.W_OK)
    return Check("temporary folder", ok, True, folder, "" if ok else "set TMPDIR to a folder you may write to")


def doctor(
    px4: Annotated[
        Path | None, typer.Option("--px4", help="A PX4 build or install to look at.", metavar="PATH")
    ] = None,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what this machine has, what is missing, and the command that mends it. Exit code 3 if a needed part is missing."""
    checks = [
        Check("Python", sys.version_info >= (3, 11), True, platform.python_version(), "install Python 3.11 or later"),
        _package("mavsdk", "mavsdk", needed=True, mend="pip install mavsdk==4.1.0"),
        _package("cv2", "opencv-python-headless", needed=True, mend="pip install opencv-python-headless"),
        _package("openvino", "openvino", needed=False, mend="pip install openvino"),
        _package("onnxruntime", "onnxruntime", needed=False, mend="pip install onnxruntime"),
        _package("ultralytics", "ultralytics", needed=False, mend=_ULTRALYTICS),
        _engine_check(),
        _tensorrt_check(),
        _broker_check(),
        _px4_check(px4),
        _socket_path_check(),
        *_state_check(site, state),
    ]
    missing = [check for check in checks if check.needed and not check.ok]
    if as_json:
        print_json({"ok": not missing, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            mark = "[green]ok  [/]" if check.ok else "[red]MISS[/]" if check.needed else "[yellow]none[/]"
            out.print(f"{mark} ", end="")
            out.print(f"{check.name}: {check.found}", markup=False)
            if check.mend and not check.ok:
                out.print(f"       {check.mend}", markup=False)
    if missing:
        raise typer.Exit(EXIT_UNAVAILABLE)
