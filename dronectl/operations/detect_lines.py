# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the lines of live streams go: a file or standard output, one whole line at a time, by whichever thread has one."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO, Final, Self

from dronectl.errors import BadInputError
from dronectl.operations.detect_journal import journal_path
from dronectl.operations.detect_run import DetectRequest, encode, make_more, put, wants_more

_FLUSH_S: Final = 1.0


class Lines:
    """The output of a run, opened with its first line: a run that never sees anything leaves what was there. A context manager."""

    def __init__(self, request: DetectRequest) -> None:
        self._request = request
        self._out = request.outputs.lines
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None  # without --out, a copy for what is made of the lines
        self._begun = False
        self._flushed_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def write(self, line: dict[str, Any]) -> None:
        """One more line; BadInputError where there is no room for it."""
        data = encode(line)
        with self._lock:
            try:
                if not self._begun:
                    self._begin()
                if self._out is None:
                    put(data, now=True)  # whoever reads a stream's lines wants them now
                if self._file is not None:
                    self._file.write(data)
                    if time.monotonic() - self._flushed_s >= _FLUSH_S:
                        self._flushed_s = time.monotonic()
                        self._file.flush()
            except BrokenPipeError:
                raise  # whoever read standard output has seen enough
            except OSError as error:
                where = "standard output" if self._out is None else f"--out {self._out}"
                raise BadInputError(f"{where}: {error.strerror or error}; lines before it are written") from error

    def _begin(self) -> None:
        if self._out is not None:
            journal_path(self._out).unlink(missing_ok=True)
            self._file = self._out.open("w+b")
        elif wants_more(self._request):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with this
        self._begun = True

    def finish(self, tell: Callable[[str], None]) -> None:
        """After the last line: make what is made of them."""
        if self._file is None:
            return
        try:
            self._file.flush()
        except OSError as error:
            raise BadInputError(f"--out {self._out}: {error.strerror or error}; its last lines are lost") from error
        make_more(self._request, self._file, tell)
