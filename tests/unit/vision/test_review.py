# SPDX-License-Identifier: AGPL-3.0-or-later
"""GeoJSON and the review page, out of lines; and both from pictures and videos with poses, end to end."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
import struct
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, shape
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from dronectl.errors import BadInputError
from missions.geo import GeoPoint, LocalFrame, bearing_deg, distance_m
from tests.vision_files import dji, exif, person_picture, with_segments
from vision.geojson import features, outline
from vision.merge_stills import things
from vision.model_card import DEFAULT_MODEL
from vision.review import page
from vision.review_things import Looked, Thing
from vision.sighting import Kind

app = typer.Typer()
app.command()(detect)


def invoke(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    result = CliRunner().invoke(app, list(arguments), standalone_mode=False)
    if isinstance(result.exception, BadInputError):
        return 2, [], str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    code = result.return_value if isinstance(result.return_value, int) else result.exit_code
    return code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def still(source: str, count: int, place: dict[str, Any] | None) -> dict[str, Any]:
    detection = {
        "kind": "person", "confidence": 0.5, "rule": "r", "detectors": ["d"], "place": place, "crop": "c.jpg",
        "learned_score": 0.5, "hot_spot_sigma": None, "contrast_c": None, "temperature_max_c": None, "size_m": 1.0,
        "box_px": [310.0, 150.0, 330.0, 162.0],
    }  # fmt: skip
    return {
        "type": "frame", "media": "still", "width_px": 640, "height_px": 512, "source": source, "no_place": None if place else "why not",
        "detections": [detection] * count,
    }  # fmt: skip


def track(track_id: str, sequence: int, place: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "type": "track", "media": "video", "source": "v.mp4", "track_id": track_id, "sequence": sequence,
        "kind": "fire", "confidence": 0.1 * sequence, "rule": "r", "detector": "a; b", "place": place, "looks": 3,
        "chances": 5, "first_s": 0.0, "last_s": 1.0, "temperature_max_c": None, "size_m": None, "speed_m_s": None,
        "evidence": [f"{track_id}-{sequence}-crop.jpg", f"{track_id}-{sequence}-context.jpg"],
    }  # fmt: skip


def ellipse(major: float, minor: float, azimuth: float) -> dict[str, float]:
    return {"semi_major_m": major, "semi_minor_m": minor, "azimuth_deg": azimuth}


PLACE = {"latitude_deg": 31.5, "longitude_deg": 121.25, "amsl_m": None, "ellipse_95": ellipse(6.0, 3.0, 30.0)}


@pytest.mark.parametrize("kind", [k for k in Kind if k not in (Kind.CROWD, Kind.HAZARD)])
def test_the_page_has_a_name_a_colour_and_a_rank_for_whatever_is_found(kind: Kind) -> None:
    text = "".join(page([], "r", "p", Looked()))
    weights = re.search(r"const WEIGHT = \{(.*?)\}", text)
    assert weights is not None
    assert re.search(rf"\b{kind}:", weights[1])
    assert len(re.findall(rf'\b{kind}: "', text)) == 2  # English and Chinese
    assert len(re.findall(rf"--{kind}: #", text)) == 2  # by day and by night


def test_a_track_counts_once_and_frames_of_videos_do_not() -> None:
    lines = [
        still("a.jpg", 2, PLACE), track("t1", 1, None), track("t2", 1, PLACE), track("t1", 4, PLACE),
        still("v.mp4", 3, PLACE) | {"media": "video"}, {"type": "error", "source": "b.jpg", "message": "m"},
    ]  # fmt: skip
    found = list(things(lines))
    assert [(t.thing_id, t.is_track) for t in found] == [
        ("a.jpg#1", False), ("a.jpg#2", False), ("v.mp4#t1", True), ("v.mp4#t2", True),
    ]  # fmt: skip
    assert found[2].confidence == pytest.approx(0.4)
    assert (found[2].crop, found[2].context) == ("t1-4-crop.jpg", "t1-4-context.jpg")
    assert len(list(features(found))) == 4
    assert len(list(features(things([still("a.jpg", 2, None)])))) == 0


@settings(deadline=None)
@given(st.floats(-80, 80), st.floats(-180, 179.999), st.floats(0.5, 300), st.floats(0.1, 1.0), st.floats(0, 179.9))
def test_outlines_are_the_ellipse(
    latitude: float, longitude: float, major: float, ratio: float, azimuth: float
) -> None:
    geometry = outline(latitude, longitude, ellipse(major, major * ratio, azimuth))
    parts = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for part in parts:
        ring = part[0]
        assert ring[0] == ring[-1]
        assert all(-180.0 <= x <= 180.0 for x, _ in ring)
        assert shape({"type": "Polygon", "coordinates": part}).exterior.is_ccw
    centre = GeoPoint(latitude, longitude)
    corners = [GeoPoint(y, x) for part in parts for x, y in part[0][:-1] if abs(x) < 180.0]
    reach = [distance_m(centre, c) for c in corners]
    assert max(reach) <= major * 1.001 + 0.02
    if geometry["type"] == "Polygon":
        assert min(reach) >= major * ratio * 0.999 - 0.02
        far = corners[int(np.argmax(reach))]
        assert max(reach) == pytest.approx(major, rel=1e-3, abs=0.02)
        if ratio < 0.8 and major > 5:
            off = (bearing_deg(centre, far) - azimuth + 90) % 180 - 90
            assert abs(off) < 8.0
        assert shape(geometry).buffer(1e-9).contains(Point(longitude, latitude))


def test_an_ellipse_over_the_antimeridian_is_cut() -> None:
    geometry = outline(10.0, 179.9999, ellipse(50.0, 50.0, 0.0))
    assert geometry["type"] == "MultiPolygon"
    east, west = (shape({"type": "Polygon", "coordinates": c}) for c in geometry["coordinates"])
    assert east.bounds[2] == 180.0
    assert west.bounds[0] == -180.0


class Page(HTMLParser):
    """The page as a browser takes it apart."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.links: list[str] = []
        self.policy = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [v for k, v in attrs if k in ("src", "href") and v]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""
        if tag == "script":
            self._inside = True
            self.scripts.append((values, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            values, text = self.scripts[-1]
            self.scripts[-1] = (values, text + data)


hostile = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["</script><script>alert(1)</script>", "<!--<script>", "a\u2028b", '"\\', "灰度.jpg", "\udcff.jpg"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(hostile, hostile), max_size=5))
def test_whatever_is_in_names_stays_data(names: list[tuple[str, str]]) -> None:
    made = [Thing(str(i), False, source, "person", 0.5, rule, (), None, "n") for i, (source, rule) in enumerate(names)]
    text = "".join(page(made, "run", "r-pictures", Looked()))
    read = Page()
    read.feed(text.encode().decode())
    assert len(read.scripts) == 2
    assert read.links == []
    data = json.loads(read.scripts[0][1])
    assert [(t["source"], t["rule"]) for t in data["things"]] == names
    digest = base64.b64encode(hashlib.sha256(read.scripts[1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in read.policy
    assert read.policy.startswith("default-src 'none'")
    assert "http://" not in re.sub(r"http://www\.w3\.org/2000/svg", "", text)
    assert "https://" not in text


def test_the_page_says_what_was_looked_at_and_what_was_not() -> None:
    looked = Looked()
    refused = {"not_looked_at": "it shows nothing"}
    for line in [
        still("a.jpg", 1, None) | {"model": "m@1"}, still("b.jpg", 0, None) | refused, still("c.jpg", 0, None) | refused,
        still("d.jpg", 0, None) | {"damaged": "Corrupt JPEG data"}, still("v.mp4", 0, None) | {"media": "video"},
        still("v.mp4", 0, None) | {"media": "video"} | refused, track("t", 1, None),
        {"type": "error", "source": "e.jpg", "message": "e.jpg: cut off"},
        {"type": "gap", "source": "s", "from_s": 2.0, "to_s": 9.4, "reason": "it has stalled"},
    ]:  # fmt: skip
        looked.add(line)
    read = Page()
    read.feed("".join(page([], "run", "p", looked)))
    assert json.loads(read.scripts[0][1])["looked"] == {
        "stills": 2, "frames": 1, "moving": 1, "models": ["m@1"],
        "failed": {"count": 1, "some": ["e.jpg: cut off"]},
        "damaged": {"count": 1, "some": ["d.jpg: Corrupt JPEG data"]},
        "refused": {"count": 3, "some": ["2 × it shows nothing", "1 × v.mp4: it shows nothing"]},
        "gaps": {"count": 1, "some": ["s: 2–9 s: it has stalled"]},
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser, chromium")
def test_a_browser_lays_the_page_out(tmp_path: Path) -> None:
    looked = Looked()
    whole = still("a.jpg", 2, PLACE) | {"context": "w.jpg"}
    lines = [whole, {"type": "error", "source": "e.jpg", "message": "e.jpg: <b>cut off</b>"}]
    for line in lines:
        looked.add(line)
    path = tmp_path / "r.html"
    path.write_text("".join(page(things(lines), "run", "p", looked)), encoding="utf-8")
    browser = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--no-first-run",
    ]
    made = subprocess.run(
        [*browser, f"--user-data-dir={tmp_path / 'profile'}", "--lang=en", "--dump-dom", path.as_uri()],
        capture_output=True, encoding="utf-8", timeout=120, check=True,
    ).stdout  # fmt: skip
    tags = re.findall(r"<[a-z]+[^>]*>", made.split("<body>")[1])
    (overview,) = [tag for tag in tags if 'id="map"' in tag]
    assert "hidden" not in overview
    assert sum('class="card' in tag for tag in tags) == 2
    rings = [tag for tag in tags if tag.startswith("<circle") and "cx=" in tag]
    assert ['cx="320" cy="156"' in tag for tag in rings if 'cx="0"' not in tag] == [True, True]
    assert "e.jpg: &lt;b&gt;cut off&lt;/b&gt;" in made


def test_both_languages_have_all_words() -> None:
    text = "".join(page([], "run", "p", Looked()))
    words = [set(re.findall(r"(\w+): (?:\"|\()", line)) for line in text.splitlines() if re.match(r"  (en|zh): ", line)]
    assert len(words) == 2
    assert words[0] == words[1]
    assert set(re.findall(r'data-t="(\w+)"', text)) <= words[0]


def dji_still(latitude: float, longitude: float, pitch: float = -90.0, *, lens: bool = True) -> bytes:
    """A radiometric picture with a warm body 100 px above its centre, taken 60 m above level ground, heading east."""
    kelvin = 273.15 + 10 + np.random.default_rng(5).normal(0, 0.05, (512, 640))
    cv2.ellipse(kelvin, (320, 156), (4, 9), 20, 0, 360, 273.15 + 30, -1)
    raw = np.round(kelvin * 16).astype(np.uint16) << 2
    xmp = (
        f'<x drone-dji:GpsLatitude="{latitude:.8f}" drone-dji:GpsLongitude="{longitude:.8f}" '
        'drone-dji:AbsoluteAltitude="+110.00" drone-dji:RelativeAltitude="+60.00" drone-dji:GimbalRollDegree="+0.00" '
        f'drone-dji:GimbalYawDegree="+90.00" drone-dji:GimbalPitchDegree="{pitch:+.2f}" '
        + ('drone-dji:CalibratedFocalLength="757.8"' if lens else "")
        + "/>"
    )
    return with_segments(
        cv2.imencode(".jpg", np.zeros((512, 640), np.uint8))[1].tobytes(),
        (1, exif("M3T")), (1, b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode()), (3, raw.astype("<u2").tobytes()),
    )  # fmt: skip


def test_stills_with_poses_give_places_features_and_cards(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(dji_still(31.5, 121.25))
    (tmp_path / "in" / "b.jpg").write_bytes(dji_still(31.5, 121.25, lens=False))
    out, geo, review = tmp_path / "o.jsonl", tmp_path / "g.json", tmp_path / "r.html"
    arguments = [str(tmp_path / "in"), "--out", str(out), "--geojson", str(geo), "--review", str(review)]
    code, _, said = invoke(*arguments)
    assert code == 0
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["gsd_cm"] == pytest.approx(100 * 60 / 757.8, abs=0.01)
    assert lines[0]["pose"]["pitch_deg"] == -90.0
    place = lines[0]["detections"][0]["place"]
    east, north = LocalFrame(GeoPoint(31.5, 121.25)).to_enu(GeoPoint(place["latitude_deg"], place["longitude_deg"]))
    assert (east, north) == (pytest.approx(100 * 60 / 757.8, abs=0.3), pytest.approx(0.0, abs=0.3))
    assert place["amsl_m"] == pytest.approx(50.0, abs=0.1)
    assert 3.0 < place["ellipse_95"]["semi_major_m"] < 10.0
    assert lines[1]["pose"] is None
    assert "focal length" in lines[1]["no_place"]
    assert lines[1]["detections"] == [] or lines[1]["detections"][0]["place"] is None
    found = json.loads(geo.read_text(encoding="utf-8"))
    assert found["type"] == "FeatureCollection"
    assert [f["properties"]["source"] for f in found["features"]] == [str(tmp_path / "in" / "a.jpg")]
    assert found["features"][0]["geometry"]["coordinates"][:2] == [place["longitude_deg"], place["latitude_deg"]]
    read = Page()
    read.feed(review.read_text(encoding="utf-8"))
    cards = json.loads(read.scripts[0][1])
    assert cards["pictures"] == "r-pictures"
    for card in cards["things"]:
        assert (tmp_path / "r-pictures" / card["crop"]).is_file()
        assert (tmp_path / "r-pictures" / card["context"]).is_file()
    before = review.read_text(encoding="utf-8")
    assert invoke(*arguments)[0] == 0  # everything is done already: both are made again from the lines
    assert review.read_text(encoding="utf-8") == before
    assert f"{len(cards['things'])} card(s)" in said


def test_equal_names_in_two_folders_keep_their_own_pictures(tmp_path: Path) -> None:
    for folder in ("1", "2"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / folder / "甲.png"), np.roll(person_picture(), 20 * int(folder), axis=1))
    code, lines, _ = invoke(str(tmp_path / "in"), "--gsd-cm", "8", "--review", str(tmp_path / "r.html"))
    assert code == 0
    crops = [d["crop"] for line in lines for d in line["detections"]]
    assert len(set(crops)) == len(crops) >= 2
    assert {p.name for p in (tmp_path / "r-pictures").iterdir()} >= set(crops)


def test_a_video_with_subtitles_gives_tracks_with_places(tmp_path: Path) -> None:
    """Straight down from 60 m, heading north at 3.2 m/s: the body moves down the picture and stands on the ground."""
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5.0, (640, 512))
    high = np.pad(person_picture(), ((40, 40), (0, 0)), mode="reflect")
    srt = ""
    for k in range(6):
        writer.write(np.repeat(np.ascontiguousarray(high[40 - 8 * k : 552 - 8 * k])[..., None], 3, 2))
        latitude = 31.5 + math.degrees(0.08 * 8 * k / 6_371_000.0)
        srt += (
            f"{k}\n00:00:{k // 5:02d},{k % 5 * 200:03d} --> 00:00:09,000\n[latitude: {latitude:.8f}] [longitude: 121.25] "
            "[rel_alt: 60.000 abs_alt: 110.000] [gb_yaw: 0.0 gb_pitch: -90.0 gb_roll: 0.0]\n\n"
        )
    writer.release()
    (tmp_path / "v.SRT").write_text(srt)
    hfov = str(2 * math.degrees(math.atan(320 * 0.08 / 60)))
    code, lines, _ = invoke(str(path), "--hfov-deg", hfov, "--geojson", str(tmp_path / "g.json"))
    assert code == 0
    assert all(line["pose"] for line in lines if line["type"] == "frame")
    last = [line for line in lines if line["type"] == "track"][-1]
    assert last["phase"] == "end"
    here = GeoPoint(last["place"]["latitude_deg"], last["place"]["longitude_deg"])
    assert distance_m(here, GeoPoint(31.5, 121.25)) < 1.5  # it was 6 px above the centre of the first frame
    found = json.loads((tmp_path / "g.json").read_text(encoding="utf-8"))["features"]
    assert [f["properties"]["of"] for f in found] == ["track"]
    (tmp_path / "v.SRT").write_text("1\n00:00:00,000 --> 00:00:09,000\n[latitude: 31.5] [longitude: 121.2]\n")
    code, lines, said = invoke(str(path), "--gsd-cm", "8")
    assert code == 0
    assert "without place" in said
    assert "gimbal angles" in lines[0]["no_place"]
    assert all(line["place"] is None for line in lines if line["type"] == "track")


def test_a_video_that_changes_size_is_named_and_its_beginning_kept(tmp_path: Path) -> None:
    path = tmp_path / "v.mjpeg"
    with path.open("wb") as file:
        for size in [(640, 512)] * 4 + [(320, 256)] * 3:
            file.write(cv2.imencode(".jpg", cv2.resize(person_picture(), size))[1].tobytes())
    code, lines, said = invoke(str(path), "--gsd-cm", "8")
    assert code == 1
    assert [line["type"] for line in lines if line["type"] != "track"] == ["frame"] * 4 + ["error"]
    assert [line["phase"] for line in lines if line["type"] == "track"][-1] == "end"
    assert said.count("the picture size changes from 640x512 to 320x256") == 1


def test_outputs_that_cannot_be_are_refused_before_the_work(tmp_path: Path) -> None:
    picture = tmp_path / "p.jpg"
    picture.write_bytes(dji("M3T", np.full((512, 640), struct.calcsize("i") * 5000, np.uint16)))
    for option in ("--out", "--geojson", "--review"):
        code, _, said = invoke(str(picture), option, str(tmp_path / "none" / "f"))
        assert code == 2
        assert option in said
    assert invoke(str(picture), "--raw-size", "big")[0] == 2
    assert invoke(str(picture), "--counts", "kelvin")[0] == 2


def test_a_folder_of_refused_pictures_is_no_flood_of_lines(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for i in range(9):
        cv2.imwrite(str(tmp_path / f"{i}.png"), colour)
    code, lines, said = invoke(str(tmp_path), "--model", str(DEFAULT_MODEL))
    assert code == 2
    assert len(lines) == 9
    assert said.count(": not looked at:") == 5
    assert "9 not looked at" in said


def test_a_shallow_view_has_places_but_no_one_scale(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(dji_still(31.5, 121.25, pitch=-12.0))
    code, lines, _ = invoke(str(path))
    assert code == 0
    assert lines[0]["pose"]["pitch_deg"] == -12.0
    assert lines[0]["gsd_cm"] is None


def test_its_own_pictures_are_not_looked_at_in_the_next_run(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), person_picture())
    arguments = [
        str(tmp_path),
        "--gsd-cm",
        "8",
        "--annotate",
        str(tmp_path / "boxes"),
        "--review",
        str(tmp_path / "r.html"),
    ]
    assert len(invoke(*arguments)[1]) == 1
    half = tmp_path / "r-pictures" / f".a-context.jpg.{2**22 + 1}.tmp"
    half.write_bytes(b"half")
    code, lines, said = invoke(*arguments)
    assert code == 0
    assert [line["source"] for line in lines] == [str(tmp_path / "a.png")]
    assert "are left out" in said
    assert not half.exists()
    assert invoke(str(tmp_path / "boxes"), "--annotate", str(tmp_path / "boxes"))[0] == 2
