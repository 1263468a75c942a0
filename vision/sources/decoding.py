# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures decoded, with what the decoders say of damage: their libraries tell that on standard error alone.

libjpeg fills what it cannot decode with grey or with shifted blocks, and returns a picture all the same. Which file that
was is in none of its lines, which go to file descriptor 2 whoever asked. So that descriptor is another while it decodes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_LOCK: Final = threading.Lock()  # there is one standard error
_STDERR: Final = 2
#: How decoders' lines begin; those of the second kind mean that parts of the picture are not what was written.
_CHATTER: Final = ("libpng warning", "[ WARN:", "TIFF")
_DAMAGE: Final = ("Corrupt JPEG data", "Premature end of JPEG", "Inconsistent progression", "libpng error", "[ERROR:")


def decode(data: bytes) -> tuple[NDArray[np.generic] | None, str | None]:
    """(the picture or None, what the decoder said of damage or None). cv2.error for what OpenCV refuses."""
    with _LOCK, tempfile.TemporaryFile() as said:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # there is no standard error
            return _picture(data), None
        try:
            sys.stderr.flush()
            os.dup2(said.fileno(), _STDERR)
            try:
                picture = _picture(data)
            finally:
                sys.stderr.flush()
                os.dup2(kept, _STDERR)
        finally:
            os.close(kept)
            said.seek(0)
            damage = _sorted(said.read())
    return picture, damage


def _picture(data: bytes) -> NDArray[np.generic] | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    return None if picture is None else np.asarray(picture)


def _sorted(said: bytes) -> str | None:
    """The first line about damage; what others wrote meanwhile, as a bar of progress, goes where it was to go."""
    damage: str | None = None
    for raw in said.splitlines(keepends=True):
        text = raw.decode("utf-8", "replace").strip()
        if text.startswith(_DAMAGE):
            damage = damage or text
        elif not text.startswith(_CHATTER):
            os.write(_STDERR, raw)
    return damage
