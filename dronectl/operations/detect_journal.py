# SPDX-License-Identifier: AGPL-3.0-or-later
"""What `dronectl detect --out FILE` has done, beside the file, so that a killed run goes on where it was.

Lines go to the output first and to the disk (fsync); then one journal line says which files they are of and how long
the output is. A run that is started again cuts the output back to the last length that the journal vouches for and
leaves out the files it names: no file is lost, and none is in the output twice. A journal line that is torn, and
whatever lies behind it, counts as never written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from dronectl.errors import BadInputError

_VERSION: Final = 1
_BATCH_FILES: Final = 200
_BATCH_S: Final = 2.0

Stamp = tuple[int, int]  # size in bytes, time of change in nanoseconds


@dataclass(slots=True)
class Past:
    """What earlier runs did: stamps by file, the length of the output, their counts."""

    done: dict[str, Stamp] = field(default_factory=dict)
    out_bytes: int = 0
    tally: dict[str, int] = field(default_factory=dict)
    journal_bytes: int = 0


def journal_path(out: Path) -> Path:
    """Where the journal of an output lies."""
    return out.with_name(out.name + ".journal")


def stamp(path: Path) -> Stamp:
    """Size and time of change of a file; zeros where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def is_gone(path: Path) -> bool:
    """Whether nothing can be told of a file any more."""
    try:
        path.stat()
    except OSError:
        return True
    return False


def read_journal(data: bytes) -> tuple[dict[str, Any] | None, Past]:
    """(settings, what was done) of a journal's bytes, up to the first line that is torn; None for no settings."""
    past = Past()
    settings: dict[str, Any] | None = None
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            entry = json.loads(line)
            if settings is None:
                if entry["journal"] != _VERSION:
                    break
                settings = dict(entry["settings"])
            else:
                done = {str(name): (int(size), int(changed)) for name, size, changed in entry["done"]}
                past.out_bytes, past.tally = int(entry["bytes"]), {str(k): int(v) for k, v in entry["tally"].items()}
                past.done.update(done)
        except (ValueError, KeyError, TypeError, AttributeError):
            break
        past.journal_bytes += len(line)
    return settings, past


class Journal:
    """The output and its journal. A context manager; OSError from it is a disk that would not have more."""

    def __init__(self, out: Path, settings: dict[str, Any], *, fresh: bool) -> None:
        """BadInputError where the output cannot be written, belongs to other settings, or is being written."""
        self._out_path = out
        self.past = Past()
        try:
            self._file: BinaryIO = journal_path(out).open("ab+")
        except OSError as error:
            raise BadInputError(f"--out {out}: {error.strerror or error}") from error
        try:
            self._take(settings, fresh=fresh)
            self._out: BinaryIO = out.open("ab" if self.past.out_bytes else "wb")
        except OSError as error:
            self._file.close()
            raise BadInputError(f"--out {out}: {error.strerror or error}") from error
        except BadInputError:
            self._file.close()
            raise
        self._pending: list[list[str | int]] = []
        self.tally = dict(self.past.tally)  # of all files that are done
        self._whole_bytes = self._safe_bytes = self.past.out_bytes  # written whole; on the disk and in the journal
        self._committed_s = -math.inf  # the first file is vouched for at once

    def _take(self, settings: dict[str, Any], *, fresh: bool) -> None:
        out = self._out_path
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInputError(f"--out {out}: another run is writing it") from error
        self._file.seek(0)
        before, past = read_journal(self._file.read())
        if before is None or fresh or not out.exists():
            past = Past()
            self._file.truncate(0)
            self._append({"journal": _VERSION, "settings": settings})
        elif before != settings:
            other = ", ".join(sorted(k for k in before | settings if before.get(k) != settings.get(k)))
            raise BadInputError(
                f"--out {out}: was begun with another {other}; use the same to go on, --fresh to start anew, "
                "or another file"
            )
        else:
            size = out.stat().st_size
            if size < past.out_bytes:
                raise BadInputError(
                    f"--out {out}: holds {size} bytes, and its journal vouches for {past.out_bytes}; "
                    "it was changed by something else: --fresh starts anew"
                )
            os.truncate(out, past.out_bytes)
            self._file.truncate(past.journal_bytes)
        self.past = past

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave only whole files in the output; what is not committed was never promised."""
        with contextlib.suppress(OSError):
            self._out.close()
        with contextlib.suppress(OSError):
            os.truncate(self._out_path, self._safe_bytes)
        self._file.close()

    def write(self, line: bytes) -> None:
        """A line of the output; it counts when its file is committed."""
        self._out.write(line)

    def done(self, path: Path, mark: Stamp, tally: dict[str, int]) -> None:
        """All lines of a file are written. tally: counts of all files so far."""
        self._pending.append([str(path), *mark])
        self.tally = tally
        self._whole_bytes = self._out.tell()
        if len(self._pending) >= _BATCH_FILES or time.monotonic() - self._committed_s >= _BATCH_S:
            self.commit()

    def commit(self) -> None:
        """Bring everything to the disk: the output first, then the word for it."""
        if self._pending:
            self._out.flush()
            os.fsync(self._out.fileno())
            self._append({"done": self._pending, "bytes": self._whole_bytes, "tally": self.tally})
            self._pending, self._safe_bytes = [], self._whole_bytes
        self._committed_s = time.monotonic()

    def _append(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
