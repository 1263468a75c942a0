# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which drones this site has ever told the broker about: a drone that leaves the site file leaves retained messages there.

Kept as `drones.json` in the site's state folder; what cannot be read counts as nothing, because only tidiness hangs on it.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

FILE: Final = "drones.json"
_DRONE_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_MOST: Final = 2000  # names of drones that are gone


def take_leave(folder: Path, present: Iterable[str]) -> list[str]:
    """The drones of earlier site files that are not there any more; notes those that are. Never raises for the file."""
    here = list(present)
    path = folder / FILE
    gone = [name for name in _read(path) if name not in here][-_MOST:]
    draft = path.with_suffix(".new")
    try:
        draft.write_text(json.dumps({"schema_version": 1, "drones": [*gone, *here]}) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        log.warning("%s: cannot be written: %s", path, error.strerror)
    return gone


def _read(path: Path) -> list[str]:
    try:
        document = json.loads(path.read_bytes())
        names = document["drones"] if document["schema_version"] == 1 else []
        return [name for name in names if isinstance(name, str) and _DRONE_ID.fullmatch(name)]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s: cannot be read, and is made anew (%s)", path, type(error).__name__)
        return []
