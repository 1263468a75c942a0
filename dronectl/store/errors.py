# SPDX-License-Identifier: AGPL-3.0-or-later
"""Makes the one error that the store raises towards its callers from whatever the database driver said.

A caller that sees `StoreError` knows that nothing of its transaction was kept. The message is one line that names
the file and how to mend it; the command line prints it and ends with code 2.
"""

from __future__ import annotations

from typing import Final

from dronectl.errors import StoreError

_ADVICE: Final = (
    ("database or disk is full", "the disk is full: free some space"),
    ("disk i/o error", "the disk refuses to read or write (full, over quota or broken)"),
    ("database is locked", "another program holds it locked: is a second service running on it?"),
    ("readonly database", "it may not be written: mend its permissions"),
    ("unable to open database file", "it cannot be opened or created: mend the path or its permissions"),
    ("file is not a database", "it is not a dronectl database: move it away or give another path"),
    ("file is encrypted", "it is not a dronectl database: move it away or give another path"),
    ("malformed", "it is damaged: restore a backup, or move it away to start with an empty one"),
    ("no such table", "its tables are missing: restore a backup, or move it away to start with an empty one"),
)


def explain(location: str, error: BaseException) -> StoreError:
    """The StoreError for a driver's error, with the advice that belongs to it."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    words = said[0] if said else type(error).__name__
    for sign, advice in _ADVICE:
        if sign in words.lower():
            return StoreError(f"{location}: {advice} ({words})")
    return StoreError(f"{location}: the database refused ({words})")


__all__ = ["StoreError", "explain"]
