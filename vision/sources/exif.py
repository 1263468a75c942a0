# SPDX-License-Identifier: AGPL-3.0-or-later
"""The little of Exif that pictures from the air need: who made them, when, with which lens, and where.

Source: Exif 2.32 (CIPA DC-008), clauses 4.6.2 (IFD entries) and 4.6.6 (GPS); TIFF 6.0, section 8 (NewSubfileType). Pure, and total: bytes that are no Exif
give empty facts, never an exception, because a damaged header must not cost the picture.
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
from dataclasses import dataclass
from typing import Final

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_SUBFILE, _REDUCED, _MASK, _CLASSIC = 0x00FE, 1, 4, 42
_WIDTH, _HEIGHT = 0x0100, 0x0101
_MAKE, _MODEL, _ORIENTATION = 0x010F, 0x0110, 0x0112
_TAKEN, _FOCAL_35MM = 0x9003, 0xA405
_LAT_REF, _LAT, _LON_REF, _LON, _ALT_REF, _ALT = 1, 2, 3, 4, 5, 6
_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL = 1, 2, 3, 4, 5
_MOST_ENTRIES: Final = 500
_MOST_TEXT: Final = 200
_MOST_ORIENTATIONS: Final = 8
_DATE: Final = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d:\d\d)")

Value = int | str | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """Who made the picture, when (the camera's local time), with which lens, and where; None or "" where unsaid."""

    make: str = ""
    model: str = ""
    focal_length_35mm: float | None = None
    taken_at: str | None = None  # YYYY-MM-DDTHH:MM:SS, without a zone: cameras write local time
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    altitude_m: float | None = None
    orientation: int = 1  # how it is to be shown; 1: as it lies


def parse_exif(tiff: bytes) -> ExifFacts:
    """Facts from the TIFF structure inside an Exif segment (what follows `Exif` and two zeros)."""
    try:
        return _facts(tiff)
    except (struct.error, IndexError):
        return ExifFacts()


def count_pages(tiff: bytes) -> int:
    """How many pictures a TIFF file holds, without its reduced copies and masks; 1 for what is none or cannot be read."""
    pages, places = 0, set[int]()
    with contextlib.suppress(struct.error, IndexError):
        order = "<" if tiff[:2] == b"II" else ">"
        version, at = struct.unpack_from(order + "HI", tiff, 2)
        while version == _CLASSIC and at and at not in places and len(places) < _MOST_ENTRIES:
            places.add(at)
            kind = _ifd(tiff, order, at).get(_SUBFILE)
            pages += not (isinstance(kind, int) and kind & (_REDUCED | _MASK))
            (entries,) = struct.unpack_from(order + "H", tiff, at)
            (at,) = struct.unpack_from(order + "I", tiff, at + 2 + 12 * entries)
    return max(1, pages)


def tiff_size(tiff: bytes) -> tuple[int, int] | None:
    """Width and height of a TIFF's first picture; None where these bytes do not say."""
    if tiff[:4] not in (b"II*\0", b"MM\0*"):
        return None
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        main = _ifd(tiff, order, struct.unpack_from(order + "I", tiff, 4)[0])
    except (struct.error, IndexError):
        return None
    width, height = main.get(_WIDTH), main.get(_HEIGHT)
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _facts(tiff: bytes) -> ExifFacts:
    order = "<" if tiff[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", tiff, 4)
    main = _ifd(tiff, order, first)
    more = _below(tiff, order, main.get(_EXIF_IFD))
    gps = _below(tiff, order, main.get(_GPS_IFD))
    focal, turn = more.get(_FOCAL_35MM), main.get(_ORIENTATION)
    return ExifFacts(
        make=_text(main.get(_MAKE)),
        model=_text(main.get(_MODEL)),
        focal_length_35mm=float(focal) if isinstance(focal, int) and focal > 0 else None,
        taken_at=_date(_text(more.get(_TAKEN))),
        latitude_deg=_angle(gps.get(_LAT), _text(gps.get(_LAT_REF)), "NS", 90.0),
        longitude_deg=_angle(gps.get(_LON), _text(gps.get(_LON_REF)), "EW", 180.0),
        altitude_m=_altitude(gps.get(_ALT), gps.get(_ALT_REF)),
        orientation=turn if isinstance(turn, int) and 1 <= turn <= _MOST_ORIENTATIONS else 1,
    )


def _below(tiff: bytes, order: str, at: Value | None) -> dict[int, Value]:
    """An IFD that another points to; one that is damaged costs only its own facts."""
    if not isinstance(at, int):
        return {}
    try:
        return _ifd(tiff, order, at)
    except (struct.error, IndexError):
        return {}


def _ifd(tiff: bytes, order: str, at: int) -> dict[int, Value]:
    (count,) = struct.unpack_from(order + "H", tiff, at)
    entries: dict[int, Value] = {}
    for i in range(min(count, _MOST_ENTRIES)):
        place = at + 2 + 12 * i
        tag, kind, number = struct.unpack_from(order + "HHI", tiff, place)
        value = _value(tiff, order, kind, number, place + 8)
        if value is not None:
            entries[tag] = value
    return entries


def _value(tiff: bytes, order: str, kind: int, number: int, place: int) -> Value | None:
    if kind == _ASCII:
        start = place if number <= 4 else struct.unpack_from(order + "I", tiff, place)[0]
        text = tiff[start : start + min(number, _MOST_TEXT)].split(b"\0")[0]
        return text.decode("ascii", "replace").strip()
    if number == 1 and kind in (_BYTE, _SHORT, _LONG):
        return int(struct.unpack_from(order + {_BYTE: "B", _SHORT: "H", _LONG: "I"}[kind], tiff, place)[0])
    if kind == _RATIONAL and 1 <= number <= 3:
        (start,) = struct.unpack_from(order + "I", tiff, place)
        if start + 8 * number > len(tiff):
            return None
        pairs = struct.unpack_from(order + f"{2 * number}I", tiff, start)
        if 0 in pairs[1::2]:
            return None
        return tuple(n / d for n, d in zip(pairs[::2], pairs[1::2], strict=True))
    return None


def _text(value: Value | None) -> str:
    return value if isinstance(value, str) else ""


def _date(text: str) -> str | None:
    match = _DATE.match(text)
    return None if match is None else f"{match[1]}-{match[2]}-{match[3]}T{match[4]}"


def _angle(value: Value | None, reference: str, signs: str, most: float) -> float | None:
    if not isinstance(value, tuple) or len(value) != 3 or reference[:1] not in tuple(signs):
        return None
    degrees = value[0] + value[1] / 60.0 + value[2] / 3600.0
    if not degrees <= most:
        return None
    return degrees if reference[0] == signs[0] else -degrees


def _altitude(value: Value | None, reference: Value | None) -> float | None:
    if not isinstance(value, tuple) or not math.isfinite(value[0]):
        return None
    return -value[0] if reference == 1 else value[0]
