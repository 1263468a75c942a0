# SPDX-License-Identifier: AGPL-3.0-or-later
"""Flight files on disk: read in any format, written through a temporary file, so that nothing is ever half there."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from dronectl.errors import BadInputError
from missions.errors import PlanError
from missions.formats.files import FileFormat, format_of, read_flight_file, write_flight_file
from missions.formats.flight_file import FlightFile, Loss, with_heights
from missions.geo import Altitude, Datum

MAX_FILE_BYTES = 64_000_000


def read_bytes(file: Path) -> bytes:
    """A file's content. Raises BadInputError."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise BadInputError(f"{file}: is larger than {MAX_FILE_BYTES // 1_000_000} MB; no flight file is")
        return file.read_bytes()
    except OSError as error:
        raise BadInputError(f"{file}: cannot be read: {error.strerror or error}") from error


def read_file(file: Path, *, heights: Datum | None = None, height_m: float | None = None) -> FlightFile:
    """Read a flight file of any format. Raises BadInputError naming file, place and how to mend it.

    heights: what bare heights of GeoJSON and GPX are measured from; height_m: above home, where a file says none.
    """
    data = read_bytes(file)
    try:
        found = read_flight_file(data, source=str(file), heights=heights)
    except PlanError as error:
        raise BadInputError(str(error)) from error
    return found if height_m is None else with_heights(found, Altitude(height_m, Datum.HOME))


def kind_of(file: Path) -> FileFormat:
    """The format of a file, by its content. Raises BadInputError."""
    try:
        return format_of(read_bytes(file), str(file))
    except PlanError as error:
        raise BadInputError(str(error)) from error


def choose_route(file: FlightFile, name: str) -> FlightFile:
    """The same file with only the route of that name. Raises BadInputError naming those that there are."""
    chosen = tuple(r for r in file.routes if r.name == name)
    if len(chosen) != 1:
        known = ", ".join(repr(r.name) for r in file.routes) or "none"
        raise BadInputError(f"there {'is no' if not chosen else 'is more than one'} route {name!r}; there are: {known}")
    return replace(file, routes=chosen)


def write_file(content: FlightFile, kind: FileFormat, file: Path) -> tuple[Loss, ...]:
    """Write a flight file and return what it does not say. Raises BadInputError, and then leaves the old file alone."""
    try:
        written = write_flight_file(content, kind, title=file.stem, now_ms=int(time.time() * 1000))
    except PlanError as error:
        raise BadInputError(str(error)) from error
    write_atomically(file, written.data)
    return written.losses


def write_atomically(file: Path, data: bytes) -> None:
    """Write beside the file and rename. Raises BadInputError."""
    temporary: Path | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as out:
            temporary = Path(out.name)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.chmod(0o644)
        temporary.replace(file)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise BadInputError(f"{file}: cannot be written: {error.strerror or error}; name another --out") from error
