# SPDX-License-Identifier: AGPL-3.0-or-later
"""Options and checks for the whole suite: real PX4 with `--px4 PATH`, and no child process left behind."""

from __future__ import annotations

import gc
import importlib.util
import signal
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("hypothesis") is not None:  # the heavy extra's environment goes without
    from hypothesis import HealthCheck, settings

    # No test is judged by how long it takes: the machine may be busy. The same examples in every run, so that nothing
    # lands or fails by luck; `make test-explore` looks for new ones, and prints what a failing one is repeated with.
    # How large and how slow to make the smallest example is are no faults either, and depend on what else was imported.
    calm = [HealthCheck.too_slow, HealthCheck.large_base_example]
    for profile, same in (("dronectl", True), ("explore", False)):
        settings.register_profile(profile, deadline=None, derandomize=same, print_blob=True, suppress_health_check=calm)
    settings.load_profile("dronectl")

if importlib.util.find_spec("coverage") is None:
    # The compiler of the inner loops asks for this package; the folder tests/unit/coverage is not it.
    sys.modules["coverage"] = None  # type: ignore[assignment]

WAITING = ("contract", "integration")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("dronectl")
    group.addoption("--px4", metavar="PATH", type=Path, help="run the contract tests on PX4 SITL: a build or install")
    group.addoption("--record", action="store_true", help="with --px4: write the state transcripts of this run")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record") and config.getoption("--px4") is None:
        raise pytest.UsageError("--record needs --px4 PATH: transcripts are recorded from the real PX4")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; what tests start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection():
    """Nearly all that collecting makes lives to the end: it is not looked through for garbage, then or afterwards."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def _mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """File by file, those that wait for flights and processes spread evenly among those that compute: side by side on
    few cores they fill each other's pauses, one after the other they do not. Stable, so that all workers agree.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    tests = Path(__file__).parent
    ranked = []
    for waits in (True, False):
        kind = [file for file in files if (file.relative_to(tests).parts[0] in WAITING) is waits]
        share = 0.75 if waits else 1.0  # the end is left to short ones: no worker waits alone for a long flight
        ranked += [(share * (number + (not waits) / 2) / len(kind), file) for number, file in enumerate(kind)]
    return [item for _, file in sorted(ranked) for item in files[file]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:] = _mixed(items)
    if config.getoption("--px4") is None:
        skip = pytest.mark.skip(reason="needs --px4 PATH")
        for item in items:
            if item.get_closest_marker("px4"):  # keywords hold folder names, too
                item.add_marker(skip)
    if importlib.util.find_spec("ultralytics") is None:
        skip = pytest.mark.skip(reason="needs the heavy extra: make test-yolo")
        for item in items:
            if item.get_closest_marker("yolo"):
                item.add_marker(skip)


def _children() -> set[str]:
    """Command lines of this process's live children (Linux); empty elsewhere."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            pids = task.read_text(encoding="utf-8").split()
        except OSError:
            continue  # that thread ended between the two looks
        for pid in pids:
            try:
                stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it ended between the two looks
            if stat.rpartition(")")[2].split()[0] != "Z" and "resource_tracker" not in command:
                found.add(f"{pid}: {command.strip()}")
    return found


@pytest.fixture(scope="session", autouse=True)
def no_process_left_behind():
    """Whatever a test starts, it ends; looked at when everything is over."""
    before = _children()
    yield
    left = _children() - before
    assert not left, f"child processes left behind: {sorted(left)}"
