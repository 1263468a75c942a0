# SPDX-License-Identifier: AGPL-3.0-or-later
"""Maps: well-formed, escaped, everything on the sheet; the relief's PNG read by OpenCV."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dronectl.cli.common import open_site
from dronectl.operations.planning import plan_site_patrol
from dronectl.report.hillshade import png_bytes
from dronectl.report.map_legend import wrapped
from dronectl.report.map_style import MarkerStyle
from dronectl.report.plan_picture import Marker, Track, site_map_svg, with_area
from missions.coverage.area import CoverArea
from missions.energy import plan_energy
from missions.geo import destination
from missions.model import Budget

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def site():
    return open_site(None)


@pytest.fixture(scope="module")
def plans(site):
    return plan_site_patrol(site, Budget(iterations=50)).plans


def parse(svg):
    return ET.fromstring(svg)  # noqa: S314  # our own text


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
@settings(deadline=None, max_examples=30)
def test_png_is_read_back_by_opencv(image):
    decoded = cv2.imdecode(np.frombuffer(png_bytes(image), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded[:, :, ::-1], image)


def test_relief_lies_inside_and_is_no_flat_colour(site, plans):
    root = parse(site_map_svg(site, plans))
    image = root.find(f".//{SVG}image").get("href").split(",")[1]
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(image), np.uint8), cv2.IMREAD_COLOR)
    assert min(decoded.shape[:2]) > 100
    assert decoded.std() > 5.0


def test_every_drawn_place_is_on_the_sheet(site, plans):
    root = parse(site_map_svg(site, plans))
    width, height = (float(root.find(f"{SVG}svg").get(k)) for k in ("width", "height"))
    drawn = 0
    for path in root.iter(f"{SVG}path"):
        if path.get("class") in {"plan", "return", "must-line", "keepout", "fence"} and "h22" not in path.get("d"):
            for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path.get("d")):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height
                drawn += 1
    assert drawn > 40


def test_names_are_escaped(site, plans):
    evil = replace(site, points=(replace(site.points[0], name='<script>"&'), *site.points[1:]))
    svg = site_map_svg(evil, plans)
    assert "<script>" not in svg
    assert '<script>"&' in {t.text for t in parse(svg).iter(f"{SVG}text")}
    marked = site_map_svg(site, plans, markers=[Marker(site.points[0].position, "<&>", MarkerStyle.FALSE)])
    assert "<&>" in {t.text for t in parse(marked).iter(f"{SVG}text")}


def test_tracks_and_markers_are_drawn_with_their_legend(site, plans):
    track = Track(plans[0].vehicle_id, (plans[0].home, *(w.position for w in plans[0].waypoints)))
    markers = [
        Marker(destination(plans[0].home, 40.0 * i, 300.0), str(i), style, (20.0, 5.0, 30.0))
        for i, style in enumerate(MarkerStyle)
    ]
    root = parse(site_map_svg(site, plans, (track,), markers))
    classes = [e.get("class") for e in root.iter()]
    assert classes.count("track") == 2  # the flown way and its entry in the legend
    assert classes.count("plan-thin") == len(plans) + 1
    assert classes.count("ellipse") == len(markers)
    said = {t.text for t in root.iter(f"{SVG}text")}
    assert {"真实警报 true alert", "误报 false alarm", "漏报 missed", "实飞航线 flown"} <= said


def test_a_drawn_area_is_called_so_in_the_legend(site, plans):
    ring = shapely.box(-100.0, -100.0, 100.0, 100.0)
    area = CoverArea(site.frame, ring, ())
    said = [t.text for t in parse(site_map_svg(with_area(site, area), plans)).iter(f"{SVG}text")]
    assert "覆盖区域 area to cover" in said
    assert not [words for words in said if words and "must-patrol" in words]
    said = [t.text for t in parse(site_map_svg(site, plans)).iter(f"{SVG}text")]
    assert [words for words in said if words and "must-patrol line" in words]
    assert not [words for words in said if words and "area to cover" in words]


def test_the_legend_says_the_figures_in_the_wind_that_was_planned_for(site, plans):
    calm, windy = (plan_energy(plans[0], site.limits, wind_m_s=w) for w in (0.0, 8.0))
    assert calm.time_s < windy.time_s
    for given_energies, said in (([windy], windy), (None, calm)):
        svg = site_map_svg(site, plans[:1], energies=given_energies)
        figures = [t.text for t in parse(svg).iter(f"{SVG}text") if t.get("class") == "figure"]
        minutes, seconds = divmod(round(said.time_s), 60)
        assert len(figures) == 1
        assert figures[0].startswith(f"{minutes}:{seconds:02d} min")
        assert figures[0].endswith(f"lands with {said.landing_fraction:.0%}")


def test_a_site_without_plans_has_a_map_too(site):
    assert parse(site_map_svg(site, ())) is not None


@given(st.text(max_size=200), st.integers(1, 60))
def test_wrapping_keeps_every_word(words, width):
    lines = wrapped(words, width)
    assert " ".join(lines).split() == words.split()
    assert all(len(line) <= width or " " not in line for line in lines)
