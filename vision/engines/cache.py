# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where compiled models are kept between runs: `dronectl/engines` in the user's cache folder.

Compiling takes most of the time from start to first look. A cache that cannot be written costs that time and nothing
else; what is in it belongs to one version of the engine, one processor and one model file, which the engine checks.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_KEPT: Final = 8  # compiled models; some 12 MB each


def cache_folder() -> Path | None:
    """The folder, made where it is not there; None where it cannot be made or written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "dronectl" / "engines"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def prune(folder: Path, kept: int = _KEPT) -> None:
    """Keep the newest compiled models; models that nobody has any longer would otherwise stay for ever."""
    with contextlib.suppress(OSError):  # another process prunes too
        files = sorted((f for f in folder.iterdir() if f.is_file()), key=lambda f: f.stat().st_mtime, reverse=True)
        for old in files[kept:]:
            old.unlink(missing_ok=True)
