# SPDX-License-Identifier: AGPL-3.0-or-later
"""What stands against a database file right now: the last write failed, or the file is not where it was.

On POSIX a file that was deleted or whose folder was moved goes on being written without any error. Whoever starts
again would find nothing of it, so that is asked of the file system.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_GONE: Final = (
    "it is not there any more (deleted or moved): what is written now is lost when the service ends; put it back, or "
    "start the service again when nobody flies"
)


class Standing:
    """The state of one store. path: its file; None for a database of another kind."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._mark = None if path is None else _mark(path)
        self._failed = ""

    def failed(self, words: str) -> None:
        """A write was refused."""
        self._failed = words

    def succeeded(self) -> None:
        """A write was taken."""
        self._failed = ""

    @property
    def failing(self) -> bool:
        """Whether the last write was refused."""
        return bool(self._failed)

    def gone(self) -> str | None:
        """One line when the file is not where it was opened."""
        if self._path is None or _mark(self._path) == self._mark:
            return None
        return f"{self._path}: {_GONE}"

    def trouble(self) -> str | None:
        """One line about what is wrong; None when nothing is."""
        return self.gone() or self._failed or None


def _mark(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
