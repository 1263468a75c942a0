# SPDX-License-Identifier: AGPL-3.0-or-later
"""What cannot be read is refused with its place, and nothing a stranger sends takes more than a bounded effort."""

from __future__ import annotations

import contextlib
import io
import json
import time
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_round_trips import RICH

from missions.errors import PlanError
from missions.formats.files import FileFormat, read_flight_file, write_flight_file
from missions.formats.flight_file import Survey
from missions.geo import Datum

KML = '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n{}\n</Document></kml>'
RING = "<Placemark><Polygon><outerBoundaryIs><LinearRing>\n<coordinates>{}</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>"
GEO = '{{"type": "Feature", "properties": {{}}, "geometry": {{"type": "{}", "coordinates": {}}}}}'
WPL = "QGC WPL 110\n0\t1\t0\t16\t0\t0\t0\t0\t47.4\t8.5\t488\t1\n{}\n"


def plan_with(items=(), **fence):
    document = json.loads(write_flight_file(RICH, FileFormat.PLAN).data)
    del document["dronectl"]
    document["mission"]["items"] += list(items)
    document["geoFence"] |= fence
    return json.dumps(document)


def item(**changes):
    base = {"type": "SimpleItem", "command": 16, "frame": 3, "params": [0, 0, 0, None, 29.74, 107.27, 50]}
    return {**base, "autoContinue": True, "doJumpId": 99, **changes}


BOW = [[0.0, 0.0], [0.01, 0.01], [0.01, 0.0], [0.0, 0.01]]
REFUSED = {
    "nothing": ("hello", "is no .plan, GeoJSON, KML"),
    "unclosed geojson": (GEO.format("Polygon", "[[[0,0],[1,0],[1,1],[0,1]]]"), "geometry.coordinates[0]: the ring is not closed: it begins at 0.000000, 0.000000 and ends at 1.000000, 0.000000"),
    "crossing geojson": (GEO.format("Polygon", [[*BOW, BOW[0]]]), "sides 1 and 3 meet near 0.005000, 0.005000"),
    "flat geojson": (GEO.format("Polygon", "[[[0,0],[1,0],[2,0],[0,0]]]"), "geometry.coordinates[0]: the ring"),
    "short geojson": (GEO.format("Polygon", "[[[0,0],[1,0],[0,0]]]"), "at least 4 positions"),
    "swapped geojson": (GEO.format("LineString", "[[29.7, 107.2], [29.7, 107.3]]"), "geometry.coordinates[0]: latitude 107.2 is outside [-90, 90]; latitude and longitude look swapped"),
    "other system": ('{"type": "FeatureCollection", "crs": {"name": "EPSG:3857"}, "features": []}', "crs: another reference system"),
    "endless number": ('{"type": "Point", "coordinates": [' + "1" * 5000 + ", 1]}", "some.file: not JSON: Exceeds the limit"),
    "great number": ('{"type": "Point", "coordinates": [' + "1" * 400 + ", 1]}", "coordinates[0]: is too large a number"),
    "no geometry": (GEO.format("Curve", "[]"), "'Curve' is no geometry of GeoJSON"),
    "doctype": ('<!DOCTYPE kml [<!ENTITY a "b">]>\n<kml>&a;</kml>', "line 1: declares a document type or entities"),
    "torn kml": ("<kml>\n<Document>\n", "line 3: not XML"),
    "deep kml": ("<kml>" + "<Folder>" * 500 + "</Folder>" * 500 + "</kml>", "nested too deeply"),
    "other xml": ("<html/>", "line 1: <html> is no KML"),
    "unclosed kml": (KML.format(RING.format("0,0 1,0 1,1 0,1")), "line 3: <LinearRing>".replace("3", "2")),
    "crossing kml": (KML.format(RING.format(" ".join(f"{x},{y}" for x, y in [*BOW, BOW[0]]))), "sides 1 and 3 meet"),
    "bad number kml": (KML.format("<Placemark><Point><coordinates>1,x</coordinates></Point></Placemark>"), "line 2: <coordinates> holds 'x', which is no number"),
    "sea floor kml": (KML.format("<Placemark><Point><altitudeMode>relativeToSeaFloor</altitudeMode><coordinates>1,1,1</coordinates></Point></Placemark>"), "<altitudeMode> holds 'relativeToSeaFloor'"),
    "swapped kml": (KML.format("<Placemark><Point><coordinates>29.7,107.2</coordinates></Point></Placemark>"), "look swapped"),
    "half a character": ('{"type": "Feature", "geometry": null, "properties": {"name": "\\ud83d!"}}', "holds half a character, '\\ud83d'"),
    "gpx without lat": ('<gpx><rte><rtept lon="1"/></rte></gpx>', "line 1: <rtept> lacks the attribute 'lat'"),
    "gpx nan": ('<gpx>\n<wpt lat="nan" lon="1"/></gpx>', "line 2: <wpt> holds a number that is not finite"),
    "wpl frame": (WPL.format("1\t0\t7\t16\t0\t0\t0\t0\t47.4\t8.5\t50\t1"), "line 3: altitude frame 7 is unknown"),
    "wpl fields": (WPL.format("1\t0\t3\t16\t0"), "line 3: has 5 fields, not 12"),
    "wpl order": (WPL.format("4\t0\t3\t16\t0\t0\t0\t0\t47.4\t8.5\t50\t1"), "line 3: index 4 is out of order; 1 comes here"),
    "wpl swapped": (WPL.format("1\t0\t3\t16\t0\t0\t0\t0\t8.5\t47.4\t50\t1"), "line 3: latitude and longitude look swapped"),
    "wpl jump": (WPL.format("1\t0\t2\t177\t9\t1\t0\t0\t0\t0\t0\t1"), "line 3: jumps to item 9, which there is not"),
    "wpl version": ("QGC WPL 999\n", "line 1: is no waypoint file"),
    "plan frame": (plan_with([item(frame=7)]), "mission.items[6].frame: altitude frame 7 is unknown"),
    "plan swapped": (plan_with([item(params=[0, 0, 0, None, 107.27, 29.74, 50])]), "mission.items[6]: latitude 107.27"),
    "plan ring": (plan_with(polygons=[{"inclusion": True, "polygon": [[y, x] for x, y in BOW]}]), "geoFence.polygons[0].polygon: the ring crosses itself: sides 1 and 3 meet near 0.005000, 0.005000"),
    "plan circle": (plan_with(circles=[{"inclusion": True, "circle": {"center": [1, 1], "radius": 0}}]), "geoFence.circles[0].circle.radius: must be above 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_its_place(case):
    text, said = REFUSED[case]
    with pytest.raises(PlanError) as caught:
        read_flight_file(text.encode(), source="some.file")
    assert said in str(caught.value)
    assert str(caught.value).startswith("some.file: ")


def zip_of(**entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return out.getvalue()


def test_entity_bombs_in_any_encoding_are_refused_at_once():
    bomb = '<?xml version="1.0" encoding="{}"?><!DOCTYPE kml [<!ENTITY a "ha">{}]><kml>&j;</kml>'
    levels = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    for encoding in ("utf-8", "utf-16"):
        start = time.process_time()
        with pytest.raises(PlanError, match="declares a document type"):
            read_flight_file(bomb.format(encoding, levels).encode(encoding), source="x")
        assert time.process_time() - start < 1.0


def test_zip_bombs_are_refused_and_other_entries_left_packed():
    bomb = zip_of(doc_kml=b" " * 80_000_000)
    start = time.process_time()
    with pytest.raises(PlanError, match="unpacks to more than 64 MB"):
        read_flight_file(bomb, source="x")
    assert time.process_time() - start < 3.0
    with pytest.raises(PlanError, match="holds 3000 files"):
        read_flight_file(zip_of(**{f"n{i}_kml": b"" for i in range(3000)}), source="x")
    assert read_flight_file(zip_of(big_bin=b" " * 80_000_000, doc_kml=KML.format("").encode()), source="x")
    with pytest.raises(PlanError, match=r"holds no \.kml file"):
        read_flight_file(zip_of(readme_txt=b""), source="x")
    with pytest.raises(PlanError, match=r"holds no wpmz/waylines\.wpml"):
        read_flight_file(zip_of(wpmz__template_kml=b"<kml/>"), source="x")
    with pytest.raises(PlanError, match="zip archive"):
        read_flight_file(zip_of(doc_kml=KML.encode())[:60], source="x")


def test_an_unknown_altitude_frame_of_wpml_is_named():
    data = write_flight_file(RICH, FileFormat.WPML).data
    entries = {n: zipfile.ZipFile(io.BytesIO(data)).read(n) for n in ("wpmz/template.kml", "wpmz/waylines.wpml")}
    changed = entries["wpmz/waylines.wpml"].replace(b"relativeToStartPoint", b"aboveMoon")
    with pytest.raises(
        PlanError, match=r"x/wpmz/waylines.wpml: line \d+: <executeHeightMode> 'aboveMoon' is an unknown"
    ):
        read_flight_file(zip_of(wpmz__waylines_wpml=changed), source="x")


def test_unsupported_parts_are_listed_with_their_place():
    structure = {"type": "ComplexItem", "complexItemType": "StructureScan", "version": 2}
    plan = read_flight_file(plan_with([structure], breachReturn=[29.7, 107.2, 10]).encode(), source="x")
    assert [str(x).split(";")[0] for x in plan.losses] == [
        "mission.items[6]: a StructureScan item is not supported",
        "geoFence.breachReturn: a breach return point is not supported",
    ]
    kml = read_flight_file(KML.format("<NetworkLink/>\n<GroundOverlay/>").encode(), source="x")
    assert [loss.place for loss in kml.losses] == ["line 2", "line 3"]
    mark = "<Placemark><description>mind the mast</description>{}</Placemark>"
    point, line = (
        "<Point><coordinates>1,1</coordinates></Point>",
        "<LineString><coordinates>1,1 1,2</coordinates></LineString>",
    )
    kml = read_flight_file(KML.format(mark.format(point)).encode(), source="x")
    assert (kml.places[0].properties, kml.losses) == ((("description", "mind the mast"),), ())
    assert len(read_flight_file(KML.format(mark.format(line)).encode(), source="x").losses) == 1
    assert len(read_flight_file(KML.format(mark.format("")).encode(), source="x").losses) == 1
    track = '<gpx><trk><trkseg><trkpt lat="1" lon="2"><time/></trkpt><trkpt lat="1" lon="2"><time/></trkpt></trkseg></trk></gpx>'
    assert [str(x) for x in read_flight_file(track.encode(), source="x").losses] == [
        "line 1: <time> of a <trk> is not kept"
    ]
    geo = read_flight_file(b'{"type": "Feature", "geometry": null, "properties": {}}', source="x")
    assert len(geo.losses) == 1


def test_nothing_is_flown_between_the_segments_of_a_track():
    """Reception was lost there, or the receiver was off: a straight way would count as searched."""
    point = '<trkpt lat="{}" lon="2"/>'
    parts = [f"<trkseg>{point.format(1.0)}{point.format(1.1)}</trkseg>", f"<trkseg>{point.format(1.5)}</trkseg>"]
    text = f"<gpx><trk><name>d1</name>{''.join(parts)}<trkseg/></trk><trk>{parts[0]}</trk></gpx>"
    routes = read_flight_file(text.encode(), source="x").routes
    assert [(r.name, [s.position.latitude_deg for s in r.steps]) for r in routes] == [
        ("d1, part 1", [1.0, 1.1]),
        ("d1, part 2", [1.5]),
        ("route 3", [1.0, 1.1]),
    ]


def test_a_plan_for_another_vehicle_stays_one():
    document = json.loads(plan_with())
    document["mission"] |= {"firmwareType": 3, "vehicleType": 1, "cruiseSpeed": 15.5}
    for kind in (FileFormat.PLAN, FileFormat.GEOJSON):
        first = write_flight_file(read_flight_file(json.dumps(document).encode(), source="x"), kind).data
        again = json.loads(write_flight_file(read_flight_file(first, source="x"), FileFormat.PLAN).data)["mission"]
        assert (again["firmwareType"], again["vehicleType"], again["cruiseSpeed"]) == (3, 1, 15.5)
        assert again["hoverSpeed"] == document["mission"]["hoverSpeed"]


def test_foreign_files_mean_what_their_formats_say():
    geo = read_flight_file(GEO.format("LineString", "[[1, 2, 30], [1, 3]]").encode(), source="x")
    first, second = geo.routes[0].steps
    assert first.altitude.datum is Datum.ELLIPSOID
    assert second.altitude is None
    told = read_flight_file(GEO.format("LineString", "[[1, 2, 30]]").encode(), source="x", heights=Datum.AMSL)
    assert told.routes[0].steps[0].altitude.datum is Datum.AMSL
    line = "<Placemark><LineString>{}<coordinates>1,2,30 1,3,30</coordinates></LineString></Placemark>"
    for mode, datum in (("absolute", Datum.AMSL), ("relativeToGround", Datum.TERRAIN)):
        kml = KML.format(line.format(f"<altitudeMode>{mode}</altitudeMode>"))
        assert read_flight_file(kml.encode(), source="x").routes[0].steps[0].altitude.datum is datum
    assert read_flight_file(KML.format(line.format("")).encode(), source="x").routes[0].steps[0].altitude is None
    hole = "[[[0,0],[1,0],[1,1],[0,1],[0,0]], [[0.2,0.2],[0.2,0.4],[0.4,0.4],[0.2,0.2]]]"
    assert [r.inclusion for r in read_flight_file(GEO.format("Polygon", hole).encode(), source="x").rings] == [
        True,
        False,
    ]
    track = '<gpx><trk><trkseg><trkpt lat="1" lon="2"><ele>5</ele></trkpt></trkseg></trk></gpx>'
    assert read_flight_file(track.encode(), source="x").routes[0].steps[0].altitude.datum is Datum.AMSL


PATTERN = json.dumps({"type": "ComplexItem", "complexItemType": "survey", "TransectStyleComplexItem": {"version": 1}})
FLOWN = replace(RICH.routes[0], surveys=(Survey("survey", 1, 2, PATTERN),))
SEEDS = {kind: write_flight_file(replace(RICH, routes=(FLOWN,)), kind).data for kind in FileFormat}


@given(st.sampled_from(list(FileFormat)), st.data())
@settings(max_examples=300, deadline=None)
def test_any_damage_gives_a_file_or_one_refusal(kind, data):
    seed = SEEDS[kind]
    at = data.draw(st.integers(0, len(seed) - 1))
    if data.draw(st.booleans()):
        damaged = seed[:at]
    else:
        new = data.draw(
            st.sampled_from([b"<", b"&", b"\x00", b'"', b"9", b"null", b"1e999", b"-", b"[", b"}", b"\xff"])
        )
        damaged = seed[:at] + new + seed[at + len(new) :]
    with contextlib.suppress(PlanError):
        read_flight_file(damaged, source="x")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(-1e300, 1e300) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([FileFormat.PLAN, FileFormat.GEOJSON]), st.data())
@settings(max_examples=200, deadline=None)
def test_any_json_in_any_place_gives_a_file_or_one_refusal(kind, data):
    document = target = json.loads(SEEDS[kind])
    for _ in range(9):
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key = data.draw(st.sampled_from(keys))
        child = target[key]
        if not isinstance(child, dict | list) or not child or data.draw(st.integers(0, 3)) == 0:
            break
        target = child
    target[key] = data.draw(_json)
    with contextlib.suppress(PlanError):
        found = read_flight_file(json.dumps(document).encode(), source="x")
        for to in FileFormat:  # and what was read can be written, or is refused as one line
            with contextlib.suppress(PlanError):
                write_flight_file(found, to)
