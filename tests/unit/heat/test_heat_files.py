# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files of cases and `dronectl plan heat`: encodings, headers, reference systems, rejects with their lines, exit codes."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import date

import numpy as np
import pytest
import typer
from shapely.geometry import LineString, box
from typer.testing import CliRunner

from dronectl.cli import plan as plan_cli
from dronectl.cli.common import open_site
from dronectl.errors import BadInputError
from dronectl.operations.heat_cases import read_cases
from dronectl.site_model import ReferenceSystem
from missions.geo import GeoPoint, distance_m, to_gcj02

APP = typer.Typer()
APP.add_typer(plan_cli.plan_app, name="plan")
RUNNER = CliRunner()
PLACE = GeoPoint(29.741, 107.2695)
WGS84, GCJ02 = ReferenceSystem.WGS84, ReferenceSystem.GCJ02


def run(*arguments):
    return RUNNER.invoke(APP, ["plan", "heat", *(str(a) for a in arguments)])


def months(site, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for month in range(1, 7):
        for _ in range(30):
            middle = site.frame.to_enu(site.points[0].position)
            xy = rng.normal(middle, 70.0) if rng.random() < 0.4 else rng.uniform(-500, 500, 2)
            rows.append((f"2024-{month:02d}-{rng.integers(1, 28):02d}", site.frame.to_geo(*(float(v) for v in xy))))
    return rows


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture
def gcj_file(site, tmp_path):
    lines = ["案件编号,发案时间,经度（度）,纬度（度）,案由"]
    for number, (day, point) in enumerate(months(site)):
        latitude, longitude = to_gcj02(point)
        lines.append(f"A{number},{day.replace('-', '年', 1).replace('-', '月')}日 08:30,{longitude},{latitude},盗窃")
    file = tmp_path / "案件.csv"
    file.write_text("\r\n".join(lines), encoding="gbk")
    return file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
@pytest.mark.parametrize(
    "header",
    ["编号,发案时间,经度,纬度,类型", "ID,Date,Lon,Lat,Type", "case_id;occurred at;Longitude;Latitude;category"],
)
def test_encodings_and_headers(tmp_path, encoding, header):
    file = tmp_path / "c.csv"
    row = "甲1,2024/3/5 12:00,107.2695,29.741,盗窃"
    file.write_text(f"{header}\n{row.replace(',', ';') if ';' in header else row}\n", encoding=encoding)
    read = read_cases(file, WGS84)
    assert read.rejects == ()
    (case,) = read.cases
    assert (case.case_id, case.day, case.kind) == ("甲1", date(2024, 3, 5), "盗窃")
    assert case.position == PLACE
    assert read.encoding == ("GBK" if encoding == "gbk" else "UTF-8")


@pytest.mark.parametrize(
    "word", ["2024-03-05T08:30:00", "2024-03-05T08:30:00+08:00", "2024/3/5T8:30", "2024-03-05T08:30Z"]
)
def test_days_of_iso_8601_times_are_read(tmp_path, word):
    file = tmp_path / "c.csv"
    file.write_text(f"date,lon,lat\n{word},107.2695,29.741\n")
    read = read_cases(file, WGS84)
    assert [c.day for c in read.cases] == [date(2024, 3, 5)], read.rejects


def test_a_line_is_where_the_file_ends_one(tmp_path):
    """Characters that only some programs take for an end of line stand in the middle of descriptions."""
    file = tmp_path / "c.csv"
    odd = "a\u2028b\x85c\x0bd"
    file.write_text(f"type,date,lon,lat\n{odd},2024-03-05,107.2695,29.741\nx,,1,1\n", encoding="utf-8")
    read = read_cases(file, WGS84)
    assert [c.kind for c in read.cases] == [odd]
    assert [r.line for r in read.rejects] == [3]


def test_reference_systems(tmp_path):
    latitude, longitude = to_gcj02(PLACE)
    file = tmp_path / "c.csv"
    file.write_text(f"date,lon,lat\n20240305,{longitude},{latitude}\n")
    assert distance_m(read_cases(file, GCJ02).cases[0].position, PLACE) < 0.001
    assert distance_m(read_cases(file, WGS84).cases[0].position, PLACE) > 300.0
    assert read_cases(file, ReferenceSystem.CGCS2000).cases == read_cases(file, WGS84).cases


def test_geojson(tmp_path):
    file = tmp_path / "c.geojson"
    good = {"type": "Feature", "id": 7, "geometry": {"type": "Point", "coordinates": [107.2695, 29.741]}}
    features = [
        {**good, "properties": {"日期": "2024-03-05", "类型": "火灾"}},
        {"type": "Feature", "geometry": {"type": "LineString", "coordinates": []}, "properties": {}},
        {**good, "geometry": {"type": "Point", "coordinates": [1]}},
        {**good, "geometry": None},
        {**good, "id": 8, "properties": None},
    ]
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    read = read_cases(file, WGS84)
    assert [(c.case_id, c.kind, c.position) for c in read.cases] == [("7", "火灾", PLACE)]
    assert [r.line for r in read.rejects] == [2, 3, 4, 5]
    assert "LineString" in read.rejects[0].reason


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,2024-03-05,107.27,", "latitude is missing"),
        ("a,2024-03-05,east,29.74", "'east', which is no number"),
        ("a,2024-03-05,29.74,107.27", "look swapped"),
        ("a,2024-03-05,0,0", "never filled in"),
        ("a,05/03/2024,107.27,29.74", "cannot be read"),
        ("a,2024-02-30,107.27,29.74", "does not exist"),
        ("a,,107.27,29.74", "date is missing"),
        ("a,2031-01-01,107.27,29.74", "lies after 2024-12-31"),
        ("first,2024-03-05,107.27,29.74", "already used in line 2"),
        ("a,2024-03-05", "has 2 of 4 columns"),
        ("a,2024-03-05,nan,29.74", "is nan"),
        ("a,2024-03-05,107.27,89.9", "pole"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_rest_is_read(tmp_path, row, said):
    file = tmp_path / "c.csv"
    file.write_text(f"id,date,lon,lat\nfirst,2024-01-01,107.27,29.74\n\n{row}\nlast,2024-01-02,107.27,29.74\n")
    read = read_cases(file, WGS84, until=date(2024, 12, 31))
    assert [c.case_id for c in read.cases] == ["first", "last"]
    assert read.lines == (2, 5)
    (reject,) = read.rejects
    assert reject.line == 4
    assert said in reject.reason


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"date,where\n", "no column for longitude"),
        (b"\xff\xff\xff\n", "neither UTF-8 nor GBK"),
        (b'{"type": "Feature"}', "no column"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, content, said):
    file = tmp_path / "c.csv"
    file.write_bytes(content)
    with pytest.raises(BadInputError, match=said):
        read_cases(file, WGS84)
    with pytest.raises(BadInputError, match="cannot be read"):
        read_cases(tmp_path / "none.csv", WGS84)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no JSON"), pytest.param("1" * 5000, "no JSON", id="digits"), ("[]", "no GeoJSON FeatureCollection")],
)
def test_a_broken_geojson_is_refused(tmp_path, text, said):
    file = tmp_path / "c.geojson"
    file.write_text(text)
    with pytest.raises(BadInputError, match=said):
        read_cases(file, WGS84)


def test_the_command_writes_map_weights_warnings_and_score(site, gcj_file, tmp_path):
    result = run(gcj_file, "--reference", "gcj02", "--out", tmp_path / "heat", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["cases"] == 180
    assert said["encoding"] == "GBK"
    assert set(said["weights"]) == {p.place_id for p in site.points} | {x.line_id for x in site.lines}
    assert said["weights"]["market"] == max(said["weights"].values()) > 1.5
    (spot, *_) = said["warnings"]["hot_spots"]
    at = GeoPoint(spot["latitude_deg"], spot["longitude_deg"])
    assert distance_m(at, site.points[0].position) < 150.0
    score = said["score"]
    assert len(score["months"]) == 5
    assert score["heat_map"]["hit_rate"] > 0.25
    assert score["uniform"]["hit_rate"] == pytest.approx(0.1, abs=0.001)
    assert json.loads((tmp_path / "heat" / "heat.json").read_text(encoding="utf-8"))["weights"] == said["weights"]
    features = json.loads((tmp_path / "heat" / "heat.geojson").read_text(encoding="utf-8"))["features"]
    cells = [f for f in features if f["properties"]["kind"] == "cell"]
    hottest = max(cells, key=lambda f: f["properties"]["per_km2"])
    longitude, latitude = hottest["geometry"]["coordinates"][0][0]
    assert distance_m(GeoPoint(latitude, longitude), site.points[0].position) < 150.0
    words = "".join(ET.parse(tmp_path / "heat" / "heat.svg").getroot().itertext())  # noqa: S314  # our own file
    assert "Market square" in words
    assert "none that stands" not in words


def test_the_command_speaks_to_people(gcj_file, tmp_path):
    result = run(gcj_file, "--reference", "gcj02", "--out", tmp_path / "heat", "--month", "2024-03")
    assert result.exit_code == 0, result.output
    assert "up to 2024-03-31" in result.stdout
    assert "in the hottest 10% of the area" in result.stdout


def test_around_the_cases_no_item_is_weighted(tmp_path):
    rng = np.random.default_rng(1)
    rows = [f"2024-0{rng.integers(1, 5)}-03,{-111.8 + x},{33.4 + y}" for x, y in rng.normal(0, 0.005, (40, 2))]
    file = tmp_path / "c.csv"
    file.write_text("date,lon,lat\n" + "\n".join(rows))
    result = run(file, "--reference", "wgs84", "--out", tmp_path / "h", "--around-cases", "--cell", 100, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["cases"] == 40
    assert said["weights"] == {}


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ("", (), "an empty map would say that nothing ever happens"),
        ("2024-01-01,116.4,39.9", (), "none of its 1 cases can be used"),
        ("2024-01-01,107.27,29.74", ("--month", "2023-12"), "an empty map is no map"),
        ("2024-01-01,107.27,29.74", ("--month", "2023-13"), "write it as 2026-03"),
        ("2024-01-01,107.27,29.74", ("--cell", "5000"), "cells of at most"),
        ("2024-01-01,107.27,29.74", ("--cell", "400", "--bandwidth", "100"), "at least 200 m"),
        ("2024-01-01,107.27,29.74\n2024-02-01,107.2695,29.741", ("--bandwidth", "1"), "at least 25 m"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(tmp_path, rows, more, said):
    file = tmp_path / "c.csv"
    file.write_text(f"date,lon,lat\n{rows}\n")
    result = run(file, "--reference", "wgs84", "--out", tmp_path / "h", *more)
    assert isinstance(result.exception, BadInputError)
    assert said in str(result.exception)
    assert not (tmp_path / "h").exists()


def test_the_picture_says_what_its_marks_are_in_two_languages_and_names_cross_nothing(site, gcj_file, tmp_path):
    assert run(gcj_file, "--reference", "gcj02", "--out", tmp_path / "heat").exit_code == 0
    svg = "{http://www.w3.org/2000/svg}"
    root = ET.parse(tmp_path / "heat" / "heat.svg").getroot()  # noqa: S314  # our own file
    texts = [t for t in root.iter(f"{svg}text") if t.text]
    said = [t.text for t in texts]
    assert "案件 a case" in said
    assert any(words.startswith("案件热力图 Heat map: 李渡镇（演示）") for words in said)
    assert "密度与均值之比 Density over the mean" in said
    lines = [  # must-patrol lines alone: blue, on the map itself
        LineString([tuple(map(float, pair.split(","))) for pair in e.get("d").removeprefix("M").split("L")])
        for e in root.findall(f"{svg}path")
        if e.get("stroke") == "#1d4ed8"
    ]
    assert len(lines) == len(site.lines)
    names = [t for t in texts if " × " in t.text and t.get("paint-order") == "stroke"]
    assert len(names) == len(site.lines) + len(site.points)
    boxes = []
    for name in names:
        x, y = float(name.get("x")), float(name.get("y"))
        boxes.append(box(x, y - 9.0, x + 6.0 * len(name.text), y))
    crossed = [n.text for n, b in zip(names, boxes, strict=True) if any(line.intersects(b) for line in lines)]
    assert crossed == []
    assert not [1 for i, b in enumerate(boxes) for other in boxes[:i] if b.intersects(other)]
