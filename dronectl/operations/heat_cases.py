# SPDX-License-Identifier: AGPL-3.0-or-later
"""Past cases from a file: CSV (UTF-8 or GBK, Chinese or English headers) or GeoJSON; rejects are listed, never dropped.

The reference system of the coordinates is said by the caller: nothing in such a file tells WGS 84 from GCJ-02, and at
half a kilometre's difference a guess would move every case into the next street.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from dronectl.errors import BadInputError
from dronectl.site_model import ReferenceSystem
from missions.geo import GeoError, GeoPoint, from_gcj02
from missions.heat.grid import Case

MAX_BYTES = 200_000_000
_HEADERS = {
    "id": ("id", "caseid", "case", "no", "number", "incidentid", "编号", "案件编号", "警情编号", "序号", "接警编号"),
    "day": (
        "date", "day", "time", "datetime", "occurred", "occurredat", "timestamp", "日期", "时间", "发案时间", "案发时间",
        "报警时间", "接警时间", "发生时间", "发案日期", "发生日期",
    ),
    "longitude": ("longitude", "lon", "lng", "long", "x", "经度"),
    "latitude": ("latitude", "lat", "y", "纬度"),
    "kind": ("kind", "type", "category", "offence", "offense", "类型", "类别", "案件类型", "警情类型", "警情类别", "案由"),
}  # fmt: skip
_FIELD_OF = {name: field for field, names in _HEADERS.items() for name in names}
_ISO = re.compile(r"^(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})(?:日|T|\b)")
_PACKED = re.compile(r"^(\d{4})(\d{2})(\d{2})(?:\d{4}|\d{6})?$")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not be used: its line in the file (or its feature's number), and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReadCases:
    """What a file held. lines: of the cases, in the same order; encoding: how its text was written."""

    cases: tuple[Case, ...]
    lines: tuple[int, ...]
    rejects: tuple[Reject, ...]
    encoding: str


_Row = tuple[int, dict[str, str]]


def read_cases(file: Path, system: ReferenceSystem, *, until: date | None = None) -> ReadCases:
    """Read a file of cases. Raises BadInputError when the file as a whole cannot be used.

    until: cases after this day are rejected as lying in the future.
    """
    text, encoding = _text(file)
    rejects: list[Reject] = []
    if file.suffix.lower() in {".geojson", ".json"}:
        rows = _features(file, text, rejects)
    else:
        rows = _records(file, text, rejects)
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        try:
            case = _case(row, line, system, until)
        except ValueError as error:
            rejects.append(Reject(line, str(error)))
            continue
        if case.case_id in seen:
            rejects.append(Reject(line, f"the id {case.case_id!r} was already used in line {seen[case.case_id]}"))
            continue
        seen[case.case_id] = line
        cases.append(case)
    return ReadCases(tuple(cases), tuple(seen.values()), tuple(sorted(rejects, key=lambda r: r.line)), encoding)


def _text(file: Path) -> tuple[str, str]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BadInputError(f"{file}: is larger than {MAX_BYTES // 1_000_000} MB; split it by year")
        raw = file.read_bytes()
    except OSError as error:
        raise BadInputError(f"{file}: cannot be read: {error.strerror or error}") from error
    # GB 18030 holds GBK; it is tried last, because UTF-8 text of some kinds is also valid GBK.
    for encoding, said in (("utf-8-sig", "UTF-8"), ("gb18030", "GBK")):
        try:
            return raw.decode(encoding), said
        except UnicodeDecodeError:
            continue
    raise BadInputError(f"{file}: is neither UTF-8 nor GBK text; save it as one of them")


def _records(file: Path, text: str, rejects: list[Reject]) -> Iterator[_Row]:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise BadInputError(f"{file}: is empty; give a header line and one line per case")
    delimiter = max(",;\t，", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
    columns: list[str | None] = []
    try:
        for values in reader:
            if not any(v.strip() for v in values):
                continue
            if not columns:
                columns = _columns(file, values)
            elif len(values) < len(columns):
                rejects.append(Reject(reader.line_num, f"has {len(values)} of {len(columns)} columns"))
            else:
                row = {f: v.strip() for f, v in zip(columns, values, strict=False) if f is not None}
                yield reader.line_num, row
    except csv.Error as error:
        raise BadInputError(f"{file}:{reader.line_num}: {error}; check the quotes") from error


def _columns(file: Path, names: list[str]) -> list[str | None]:
    found: list[str | None] = []
    for name in names:
        field = _FIELD_OF.get(_plain(name))
        found.append(field if field not in found else None)
    missing = [f for f in ("day", "longitude", "latitude") if f not in found]
    if missing:
        examples = ", ".join(f"{f} ({' or '.join(_HEADERS[f][:1] + _HEADERS[f][-1:])})" for f in missing)
        raise BadInputError(f"{file}:1: no column for {examples}; the header has: {', '.join(names)}")
    return found


def _plain(name: str) -> str:
    text = re.sub(r"[(\[].*?[)\]]", "", unicodedata.normalize("NFKC", name))
    return re.sub(r"[\s_\-.]", "", text).lower()


def _features(file: Path, text: str, rejects: list[Reject]) -> Iterator[_Row]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInputError(f"{file}:{error.lineno}: is no JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; a tower of brackets
        raise BadInputError(f"{file}: is no JSON: {error}") from error
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise BadInputError(f"{file}: is no GeoJSON FeatureCollection with features")
    for number, feature in enumerate(features, 1):
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        if not isinstance(geometry, dict) or geometry.get("type") != "Point":
            kind = geometry.get("type") if isinstance(geometry, dict) else None
            rejects.append(Reject(number, f"its geometry is {kind or 'missing'}; a case is a Point"))
            continue
        place = geometry.get("coordinates")
        if not isinstance(place, list) or len(place) < 2:
            rejects.append(Reject(number, "its coordinates are not [longitude, latitude]"))
            continue
        properties = feature.get("properties") or {}
        row: dict[str, str] = {"longitude": str(place[0]), "latitude": str(place[1])}
        for name, value in properties.items() if isinstance(properties, dict) else ():
            field = _FIELD_OF.get(_plain(name))
            if field in {"id", "day", "kind"} and field not in row and value is not None:
                row[field] = str(value)
        if "id" not in row and feature.get("id") is not None:
            row["id"] = str(feature["id"])
        yield number, row


def _case(row: dict[str, str], line: int, system: ReferenceSystem, until: date | None) -> Case:
    """One case. Raises ValueError with the reason of the reject."""
    latitude, longitude = _degrees(row, "latitude"), _degrees(row, "longitude")
    if abs(latitude) < 1e-9 and abs(longitude) < 1e-9:
        raise ValueError("the position is 0, 0: it was never filled in")
    if abs(latitude) > 90.0 >= abs(longitude):
        raise ValueError(f"latitude {latitude} and longitude {longitude} look swapped")
    try:
        position = _READ[system](latitude, longitude)
    except GeoError as error:
        raise ValueError(str(error)) from error
    day = _day(row.get("day", ""))
    if until is not None and day > until:
        raise ValueError(f"the date {day.isoformat()} lies after {until.isoformat()}")
    return Case(row.get("id") or f"line {line}", day, position, row.get("kind", ""))


def _degrees(row: dict[str, str], field: str) -> float:
    word = unicodedata.normalize("NFKC", row.get(field, "")).strip().rstrip("°")
    if not word:
        raise ValueError(f"the {field} is missing")
    try:
        value = float(word)
    except ValueError:
        raise ValueError(f"the {field} is {word!r}, which is no number of degrees") from None
    if not math.isfinite(value):
        raise ValueError(f"the {field} is {word}")
    return value


def _day(word: str) -> date:
    text = unicodedata.normalize("NFKC", word).strip()
    if not text:
        raise ValueError("the date is missing")
    match = _ISO.match(text) or _PACKED.match(text)
    if match is None:
        raise ValueError(f"the date {word!r} cannot be read; write it as 2026-03-05 or 2026年3月5日")
    try:
        return date(*(int(part) for part in match.groups()))
    except ValueError:
        raise ValueError(f"the date {word!r} does not exist") from None


# CGCS2000 and WGS 84 differ by less than a metre here, far below what a case's place is known to.
_READ: dict[ReferenceSystem, Callable[[float, float], GeoPoint]] = {
    ReferenceSystem.WGS84: GeoPoint,
    ReferenceSystem.CGCS2000: GeoPoint,
    ReferenceSystem.GCJ02: from_gcj02,
}


def reject_documents(rejects: tuple[Reject, ...]) -> list[dict[str, Any]]:
    return [{"line": r.line, "reason": r.reason} for r in rejects]
