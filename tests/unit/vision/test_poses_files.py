# SPDX-License-Identifier: AGPL-3.0-or-later
"""Poses out of files: Exif, DJI's XMP, subtitles. No bytes make a parser fail."""

from __future__ import annotations

import math
import string
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from missions.geo import GeoPoint, bearing_deg, distance_m
from missions.model import Modality
from vision.poses import Shot, locator_of, still_shot
from vision.poses_srt import SubtitlePoses, parse_srt
from vision.sources.exif import ExifFacts, parse_exif

XMP = {
    "GpsLatitude": "+31.5000000", "GpsLongitude": "+121.2500000", "AbsoluteAltitude": "+78.50",
    "RelativeAltitude": "+60.00", "GimbalYawDegree": "+30.00", "GimbalPitchDegree": "-90.00",
    "GimbalRollDegree": "+0.00", "FlightXSpeed": "+3.0", "FlightYSpeed": "-4.0", "FlightZSpeed": "+0.0",
}  # fmt: skip
FACTS = ExifFacts("DJI", "M3T", 40.0, "2026-01-02T03:04:05")


def shot(xmp: dict[str, str], facts: ExifFacts = FACTS, hfov_deg: float | None = None) -> Shot:
    return still_shot("c", Modality.THERMAL, (640, 512), facts, xmp, hfov_deg)


def tiff(entries: list[tuple[int, int, int, bytes]], gps: list[tuple[int, int, int, bytes]], order: str) -> bytes:
    """An Exif structure written by the standard: main IFD, GPS IFD, then values longer than four bytes."""
    main = [*entries, (0x8825, 4, 1, b"")]
    gps_at = 8 + 2 + 12 * len(main) + 4
    values_at = gps_at + 2 + 12 * len(gps) + 4
    tail = b""

    def ifd(rows: list[tuple[int, int, int, bytes]]) -> bytes:
        nonlocal tail
        text = struct.pack(order + "H", len(rows))
        for tag, kind, count, value in rows:
            inline = struct.pack(order + "I", gps_at) if tag == 0x8825 else value.ljust(4, b"\0")
            if len(value) > 4:
                inline = struct.pack(order + "I", values_at + len(tail))
                tail += value
            text += struct.pack(order + "HHI", tag, kind, count) + inline
        return text + bytes(4)

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    body = ifd(main) + ifd(gps)
    return head + body + tail


def rationals(order: str, *values: float) -> bytes:
    return b"".join(struct.pack(order + "II", round(v * 10_000), 10_000) for v in values)


@settings(deadline=None)
@given(
    st.floats(-89.9, 89.9), st.floats(-179.9, 179.9), st.floats(-400, 8000), st.sampled_from(["<", ">"])
)  # fmt: skip
def test_gps_of_exif_turns_round(latitude: float, longitude: float, altitude: float, order: str) -> None:
    def angle(value: float) -> bytes:
        degrees, rest = divmod(abs(value) * 60, 60)
        return rationals(order, degrees, math.floor(rest), (rest % 1) * 60)

    gps = [
        (1, 2, 2, b"N\0" if latitude >= 0 else b"S\0"), (2, 5, 3, angle(latitude)),
        (3, 2, 2, b"E\0" if longitude >= 0 else b"W\0"), (4, 5, 3, angle(longitude)),
        (5, 1, 1, b"\1" if altitude < 0 else b"\0"), (6, 5, 1, rationals(order, abs(altitude))),
    ]  # fmt: skip
    facts = parse_exif(tiff([(0x0110, 2, 5, b"M30T\0")], gps, order))
    assert facts.model == "M30T"
    assert facts.latitude_deg == pytest.approx(latitude, abs=1e-6)
    assert facts.longitude_deg == pytest.approx(longitude, abs=1e-6)
    assert facts.altitude_m == pytest.approx(altitude, abs=1e-3)


WHOLE = tiff(
    [(0x010F, 2, 4, b"DJI\0"), (0x0110, 2, 5, b"M30T\0")],
    [(1, 2, 2, b"N\0"), (2, 5, 3, rationals("<", 31, 30, 0)), (3, 2, 2, b"E\0"), (4, 5, 3, rationals("<", 121, 15, 0))],
    "<",
)


@settings(deadline=None)
@given(st.binary(max_size=400))
@example(b"")
@example(b"II*\0\xff\xff\xff\xff")
def test_no_bytes_break_exif(data: bytes) -> None:
    assert isinstance(parse_exif(data), ExifFacts)


@settings(deadline=None)
@given(st.integers(0, len(WHOLE)), st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6))
def test_damaged_exif_loses_facts_and_no_more(cut: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    facts = parse_exif(bytes(data[:cut]))
    for angle, most in ((facts.latitude_deg, 90.0), (facts.longitude_deg, 180.0)):
        assert angle is None or -most <= angle <= most


def test_a_still_with_everything_has_a_pose() -> None:
    s = shot(XMP)
    assert s.why_not is None
    assert s.pose is not None
    assert s.camera is not None
    assert (s.pose.latitude_deg, s.pose.longitude_deg, s.pose.amsl_m) == (31.5, 121.25, 78.5)
    assert (s.pose.velocity_north_m_s, s.pose.velocity_east_m_s) == (3.0, -4.0)
    assert s.ground_amsl_m == pytest.approx(18.5)
    assert s.camera.fx_px == pytest.approx(40.0 * math.hypot(640, 512) / 43.2666)
    # straight down, the picture's top points to the heading: up 100 px is ahead by 100 gsd
    locator = locator_of(s.pose, s.ground_amsl_m)
    gsd = locator.gsd_m(s.camera, s.pose)
    assert gsd == pytest.approx(60.0 / s.camera.fx_px, rel=1e-3)
    fix = locator.locate(s.camera, s.pose, 320.0, 156.0)
    assert fix is not None
    place = locator.ellipse(fix)
    here, there = GeoPoint(31.5, 121.25), GeoPoint(place.latitude_deg, place.longitude_deg)
    assert distance_m(here, there) == pytest.approx(100 * gsd, rel=1e-3)
    assert bearing_deg(here, there) == pytest.approx(30.0, abs=0.2)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        (("GpsLatitude",), "position"),
        (("RelativeAltitude",), "height above take-off"),
        (("GimbalPitchDegree",), "gimbal angles"),
        (("GimbalYawDegree", "GpsLongitude"), "position or gimbal angles"),
    ],
)
def test_what_a_still_lacks_is_named(lost: tuple[str, ...], said: str) -> None:
    s = shot({k: v for k, v in XMP.items() if k not in lost})
    assert s.pose is None
    assert said in (s.why_not or "")


def test_exif_stands_in_for_a_position_and_for_the_lens() -> None:
    bare = {k: v for k, v in XMP.items() if not k.startswith("Gps")}
    facts = ExifFacts("DJI", "M2EA", None, None, -33.9, 18.4, 90.0)
    assert "focal length" in (shot(bare, facts).why_not or "")
    s = shot(bare, facts, hfov_deg=60.0)
    assert s.pose is not None
    assert s.camera is not None
    assert (s.pose.latitude_deg, s.pose.longitude_deg) == (-33.9, 18.4)
    assert s.camera.fx_px == pytest.approx(320 / math.tan(math.radians(30)))
    assert shot(XMP | {"GpsLatitude": "0.0", "GpsLongitude": "0.0"}).pose is None  # no fix, not the Gulf of Guinea


def test_calibration_is_used_where_it_is_of_this_sensor() -> None:
    nominal = 40.0 * math.hypot(640, 512) / 43.2666
    own = shot(XMP | {"CalibratedFocalLength": str(nominal * 1.02), "CalibratedOpticalCenterX": "325.0"})
    other = shot(XMP | {"CalibratedFocalLength": str(nominal * 5)})
    dewarp = shot(XMP | {"DewarpFlag": "0", "DewarpData": f"2024-01-01;{nominal},{nominal},3.5,-2,-0.1,0.01,1e-4,0,0"})
    assert own.camera is not None
    assert other.camera is not None
    assert dewarp.camera is not None
    assert (own.camera.fx_px, own.camera.cx_px) == (pytest.approx(nominal * 1.02), 325.0)
    assert other.camera.fx_px == pytest.approx(nominal)
    assert (dewarp.camera.cx_px, dewarp.camera.cy_px, dewarp.camera.distortion[0]) == (323.5, 254.0, -0.1)


def test_rtk_makes_the_ellipse_smaller() -> None:
    def major(xmp: dict[str, str]) -> float:
        s = shot(xmp)
        assert s.pose is not None
        return s.pose.horizontal_common_sigma_m

    rtk = {"RtkFlag": "50", "RtkStdLon": "0.012", "RtkStdLat": "0.015", "RtkStdHgt": "0.03"}
    assert major(XMP | rtk) == pytest.approx(0.05)
    assert major(XMP | rtk | {"RtkFlag": "16"}) == major(XMP)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*XMP, "DewarpData", "DewarpFlag", "CalibratedFocalLength", "RtkFlag", "RtkStdLat"]),
        st.text(string.printable, max_size=12)
        | st.floats().map(str)
        | st.sampled_from(["nan", "inf", "-90", "1;2,3", "9" * 400]),
    ),
    st.none() | st.floats(1, 170),
)
def test_no_values_break_a_pose(changes: dict[str, str], hfov: float | None) -> None:
    s = shot(XMP | changes, hfov_deg=hfov)
    assert (s.pose is None) == (s.why_not is not None)
    if s.pose is not None and s.camera is not None:
        fix = locator_of(s.pose, s.ground_amsl_m).locate(s.camera, s.pose, 320.0, 256.0)
        assert fix is None or math.isfinite(fix.range_m)


def bracketed(time_s: float, latitude: float, longitude: float, yaw: float, extra: str = "") -> str:
    stamp = f"00:{int(time_s) // 60:02d}:{int(time_s) % 60:02d},{round(time_s % 1 * 1000):03d}"
    return (
        f'1\n{stamp} --> 00:59:59,000\n<font size="28">FrameCnt: 1, DiffTime: 33ms\n2026-01-02 03:04:05.678\n'
        f"[iso: 110] [fnum: 2.8] [focal_len: 40.00] [dzoom_ratio: 1.00] [latitude: {latitude:.7f}] "
        f"[longitude: {longitude:.7f}] [rel_alt: 60.000 abs_alt: 78.500] [ct: 5500] "
        f"[gb_yaw: {yaw:.1f} gb_pitch: -90.0 gb_roll: 0.0] {extra}</font>\n\n"
    )  # fmt: skip


def test_subtitles_are_interpolated_and_gaps_are_not() -> None:
    text = bracketed(0, 31.5, 179.9999, 170) + bracketed(1, 31.5001, -179.9999, -170) + bracketed(9, 31.51, -179.9, 0)
    poses = SubtitlePoses(parse_srt(text.replace("\n", "\r\n")))
    assert len(poses) == 3
    assert poses.why_not is None
    assert poses.ground_amsl_m == pytest.approx(18.5)
    assert poses.focal_35mm == 40.0
    middle = poses.at(0.5)
    assert middle is not None
    assert middle.latitude_deg == pytest.approx(31.50005)
    assert abs(middle.longitude_deg) == pytest.approx(180.0)  # over the antimeridian, not over Greenwich
    assert abs(middle.yaw_deg) == pytest.approx(180.0)
    assert middle.velocity_north_m_s == pytest.approx(11.1, abs=0.1)
    assert middle.velocity_east_m_s == pytest.approx(19.0, abs=0.2)
    assert poses.at(5.0) is None
    assert poses.at(9.4) is not None
    assert poses.at(9.6) is None


def test_other_dialects_say_what_they_lack() -> None:
    old = "1\n00:00:01,000 --> 00:00:02,000\nHOME(149.0251,-20.2532) 2017.08.05 14:11:51\nGPS(149.0251,-20.2533,16) BAROMETER:1.9\n"
    mid = "2\n00:00:02,000 --> 00:00:03,000\nF/2.8, SS 206, ISO 150, EV 0, GPS (8.6499, 53.2665, 18), D 24.26m, H 6.00m, H.S 2.10m/s\n"
    mini = "3\n00:00:03,000 --> 00:00:04,000\n[latitude: 31.2] [longtitude: 121.4] [altitude: 12.3]\n"
    read = parse_srt(f"{old}\n\n{mid}\n\n{mini}\n\nno entry\n\n4\n00:00:09,000 --> 00:00:10,000\nhello")
    assert [(s.latitude_deg, s.longitude_deg, s.above_home_m) for s in read.samples] == [
        (-20.2533, 149.0251, 1.9), (53.2665, 8.6499, 6.0), (31.2, 121.4, 12.3),
    ]  # fmt: skip
    assert read.skipped == 2
    poses = SubtitlePoses(read)
    assert "gimbal angles" in (poses.why_not or "")
    assert poses.at(2.0) is None
    assert SubtitlePoses(parse_srt("")).why_not is not None


def test_zoom_takes_the_place_away() -> None:
    text = bracketed(0, 31.5, 121.0, 0) + bracketed(1, 31.5, 121.0, 0).replace("dzoom_ratio: 1.00", "dzoom_ratio: 2.00")
    poses = SubtitlePoses(parse_srt(text))
    assert poses.at(0.0) is not None
    assert poses.at(1.0) is None
    tenths = bracketed(0, 31.5, 121.0, 0).replace("focal_len: 40.00", "focal_len: 400")
    assert SubtitlePoses(parse_srt(tenths.replace("dzoom_ratio: 1.00", "dzoom_ratio: 10000"))).focal_35mm == 40.0


@settings(deadline=None)
@given(st.text(string.printable, max_size=300) | st.lists(st.sampled_from([
    "1\n", "00:00:01,000 --> 00:00:02,000\n", "99:99:99,999 -->", "[latitude: 91]", "[latitude: 31.5]", "[longitude: 1e9]",
    "[longitude: 121.2]", "[rel_alt: 60.0 abs_alt: -5]", "[gb_yaw: 1 gb_pitch: -90 gb_roll: 0]", "GPS(", "GPS(1,2)", "\n\n", "\0",
    "[focal_len: 24]", "[dzoom_ratio: 0]", "H 3m",
]), max_size=30).map("".join), st.floats(-1, 1e6))  # fmt: skip
def test_no_text_breaks_subtitles(text: str, time_s: float) -> None:
    read = parse_srt(text)
    pose = SubtitlePoses(read).at(time_s)
    assert pose is None or (abs(pose.latitude_deg) <= 90 and math.isfinite(pose.amsl_m))
