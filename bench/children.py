# SPDX-License-Identifier: AGPL-3.0-or-later
"""Child processes of a benchmark that end with it, whenever SIGINT or SIGTERM comes: also while one is being started."""

import contextlib
import signal
import subprocess

_PATIENCE_S = 30.0
_held = 0
_came = None


def _take(number, _frame):
    global _came  # noqa: PLW0603  # signals are one thing of the whole process
    if _held:
        _came = number
    else:
        _leave(number)


def _leave(number):
    raise SystemExit(128 + number)


def end_by_signals():
    """From now on SIGINT and SIGTERM end this program by SystemExit, so that what was started is ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _take)


@contextlib.contextmanager
def held():
    """Signals that come meanwhile count at the end of it. They are not blocked: children would inherit that."""
    global _held, _came  # noqa: PLW0603
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if not _held and _came is not None:
            number, _came = _came, None
            _leave(number)


@contextlib.contextmanager
def child(arguments, **options):
    """A process for the length of the with block; then ended by its pid, whatever signals come."""
    process = None
    try:
        with held():
            process = subprocess.Popen(arguments, **options)
        yield process
    finally:
        if process is not None:
            with held():
                _end(process)


def _end(process):
    process.terminate()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not yet written
                pipe.close()
