# SPDX-License-Identifier: AGPL-3.0-or-later
"""The formats by name: which one a file is in, and how it is read and written. Bytes in, bytes out."""

from __future__ import annotations

from enum import StrEnum

from missions.errors import PlanError
from missions.formats.flight_file import FlightFile, Written
from missions.formats.geojson import read_geojson, write_geojson
from missions.formats.gpx import read_gpx, write_gpx
from missions.formats.kml import read_kml, read_kmz, write_kml, write_kmz
from missions.formats.qgc_file import read_qgc
from missions.formats.qgc_file_write import write_qgc
from missions.formats.waypoint_text import read_waypoint_text, write_waypoint_text
from missions.formats.wpml import write_wpml
from missions.formats.wpml_read import read_wpml
from missions.formats.xml_tree import unzip
from missions.geo import Datum


class FileFormat(StrEnum):
    """A format that flights come and go in."""

    PLAN = "plan"
    GEOJSON = "geojson"
    KML = "kml"
    KMZ = "kmz"
    GPX = "gpx"
    WAYPOINTS = "waypoints"
    WPML = "wpml"


def format_of(data: bytes, source: str) -> FileFormat:
    """The format by the content, never by the name. Raises PlanError for one that is none of ours."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"PK"):
        names = [n.lower() for n in unzip(data, source)]
        return FileFormat.WPML if any(n.startswith("wpmz/") for n in names) else FileFormat.KMZ
    if start.startswith(b"QGC WPL"):
        return FileFormat.WAYPOINTS
    if start.startswith(b"<") or data[:4] in {b"\xff\xfe<\0", b"\xfe\xff\0<"}:
        return FileFormat.GPX if b"<gpx" in data[:4096] else FileFormat.KML
    if start.startswith((b"{", b"[")):
        return FileFormat.PLAN if b'"fileType"' in data else FileFormat.GEOJSON
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{source}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    raise PlanError(
        f"{source}: is no .plan, GeoJSON, KML, KMZ, GPX, WPML or MAVLink waypoint file; export it as one of these"
    )


def read_flight_file(data: bytes, *, source: str, heights: Datum | None = None) -> FlightFile:
    """Read any of the formats. `heights`: what bare heights in GeoJSON and GPX are measured from. Raises PlanError."""
    kind = format_of(data, source)
    if kind is FileFormat.KML:
        return read_kml(data, source=source)
    if kind is FileFormat.KMZ:
        return read_kmz(data, source=source)
    if kind is FileFormat.WPML:
        return read_wpml(data, source=source)
    if kind is FileFormat.GPX:
        return read_gpx(data, source=source, heights=heights)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{source}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    if kind is FileFormat.PLAN:
        return read_qgc(text, source=source)
    if kind is FileFormat.WAYPOINTS:
        return read_waypoint_text(text, source=source)
    return read_geojson(text, source=source, heights=heights)


def write_flight_file(file: FlightFile, kind: FileFormat, *, title: str = "flight", now_ms: int = 0) -> Written:
    """Write one of the formats. Raises PlanError for what it cannot hold at all."""
    if kind is FileFormat.PLAN:
        return write_qgc(file)
    if kind is FileFormat.GEOJSON:
        return write_geojson(file)
    if kind is FileFormat.KML:
        return write_kml(file, title=title)
    if kind is FileFormat.KMZ:
        return write_kmz(file, title=title)
    if kind is FileFormat.GPX:
        return write_gpx(file)
    if kind is FileFormat.WAYPOINTS:
        return write_waypoint_text(file)
    return write_wpml(file, written_at_ms=now_ms)
