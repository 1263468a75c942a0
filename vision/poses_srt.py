# SPDX-License-Identifier: AGPL-3.0-or-later
"""Subtitles that DJI drones record beside a video: where the camera was, frame by frame. Pure.

Three dialects are read: bracketed pairs (`[latitude: 31.2]`, since 2018), `GPS (8.6, 53.2, 18), ... H 6.00m` and
`GPS(149.0,-20.2,16) BAROMETER:1.9`. The older two know no gimbal angles, so that nothing in them can be located. What
cannot be read is skipped and counted; no input makes this fail.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from missions.geo import wrap_degrees, wrap_longitude_deg
from vision.frame import CameraPose
from vision.poses import position

MAX_GAP_S: Final = 1.5  # between two entries that are interpolated: some drones write one a second
MAX_BEYOND_S: Final = 0.5
_VELOCITY_OVER_S: Final = 0.5
_EARTH_M: Final = 6_371_000.0
_CLOCK_SIGMA_S: Final = 0.1  # telemetry runs at 10 Hz, and is written some frames late
_FOCAL_35MM_RANGE: Final = (10.0, 200.0)
_MOST_ENTRIES: Final = 2_000_000
_ZOOM_TOLERANCE: Final = 0.02

_TIMES: Final = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2})[,.](\d{1,3})\s*-->")
_NUMBER: Final = r"([-+]?\d{1,12}(?:\.\d{1,12})?)"
_PAIR: Final = re.compile(r"\b([a-z_]{2,24})\s*:\s*" + _NUMBER)
_GPS: Final = re.compile(r"GPS\s*\(\s*" + _NUMBER + r"\s*,\s*" + _NUMBER)
_HEIGHT: Final = re.compile(r"(?:\bH\s+|BAROMETER\s*:\s*)" + _NUMBER)


@dataclass(frozen=True, slots=True)
class SrtSample:
    """One entry, on the video's clock. Heights in metres, gimbal angles in degrees; None where it does not say."""

    time_s: float
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    above_home_m: float | None = None
    amsl_m: float | None = None
    yaw_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None
    focal_35mm: float | None = None

    @property
    def missing(self) -> list[str]:
        """What a pose would need and this entry lacks."""
        return [
            name
            for name, there in (
                ("position", self.latitude_deg),
                ("height above take-off", self.above_home_m),
                ("gimbal angles", self.yaw_deg if self.pitch_deg is not None else None),
            )
            if there is None
        ]


@dataclass(frozen=True, slots=True)
class Subtitles:
    """All entries in order of time, and how many could not be read."""

    samples: tuple[SrtSample, ...]
    skipped: int


def parse_srt(text: str) -> Subtitles:
    """Read a subtitle file's text. Entries without a time or without a value that is known are skipped and counted."""
    samples: list[SrtSample] = []
    skipped = 0
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        if not block.strip():
            continue
        if len(samples) >= _MOST_ENTRIES:
            break
        times = _TIMES.search(block)
        sample = None if times is None else _sample(_seconds(times), block[times.end() :])
        if sample is None:
            skipped += 1
        else:
            samples.append(sample)
    samples.sort(key=_time)
    return Subtitles(tuple(samples), skipped)


def _seconds(match: re.Match[str]) -> float:
    hours, minutes, seconds = (int(match[i]) for i in (1, 2, 3))
    return 3600.0 * hours + 60.0 * minutes + seconds + int(match[4].ljust(3, "0")) / 1000.0


def _sample(time_s: float, body: str) -> SrtSample | None:
    pairs = {name: float(value) for name, value in _PAIR.findall(body)}
    latitude, longitude = pairs.get("latitude"), pairs.get("longitude", pairs.get("longtitude"))
    height, amsl = pairs.get("rel_alt"), pairs.get("abs_alt")
    gps = _GPS.search(body)
    if gps is not None and latitude is None:
        longitude, latitude = float(gps[1]), float(gps[2])
    other = _HEIGHT.search(body)
    if height is None and other is not None:
        height = float(other[1])
    if height is None and "altitude" in pairs:
        height = pairs["altitude"]
    place = position(latitude, longitude)
    sample = SrtSample(
        time_s,
        None if place is None else place[0],
        None if place is None else place[1],
        height if height is not None and abs(height) < 6000 else None,
        amsl if amsl is not None and abs(amsl) < 12_000 else None,
        _angle(pairs.get("gb_yaw")),
        _angle(pairs.get("gb_pitch")),
        _angle(pairs.get("gb_roll")),
        _focal(pairs.get("focal_len"), pairs.get("dzoom_ratio")),
    )
    return None if sample == SrtSample(time_s) else sample


def _angle(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= 360.0 else None


def _focal(focal: float | None, zoom: float | None) -> float | None:
    """35 mm equivalent with digital zoom. Some models write tenths of a millimetre and ten-thousandths of zoom."""
    if focal is None:
        return None
    if focal > _FOCAL_35MM_RANGE[1]:
        focal /= 10.0
    if zoom is not None and zoom >= 1000.0:
        zoom /= 10_000.0
    focal *= zoom if zoom is not None and 1.0 <= zoom <= 64.0 else 1.0
    return focal if _FOCAL_35MM_RANGE[0] <= focal <= 64.0 * _FOCAL_35MM_RANGE[1] else None


def _time(sample: SrtSample) -> float:
    return sample.time_s


class SubtitlePoses:
    """Poses over a video's time, interpolated between entries; a gap is not bridged."""

    def __init__(self, subtitles: Subtitles) -> None:
        whole = [s for s in subtitles.samples if not s.missing]
        # several entries of one time: the first; interpolation needs times that rise
        self._samples = [s for i, s in enumerate(whole) if i == 0 or s.time_s > whole[i - 1].time_s]
        first = self._samples[0] if self._samples else None
        self.amsl_known = first is not None and first.amsl_m is not None
        self.focal_35mm = None if first is None else first.focal_35mm
        self.why_not: str | None = None
        if first is None:
            some = subtitles.samples[0].missing if subtitles.samples else ["position"]
            self.why_not = f"the subtitles do not say the {' or '.join(some)}"
        self.ground_amsl_m = 0.0
        if first is not None and first.amsl_m is not None and first.above_home_m is not None:
            self.ground_amsl_m = first.amsl_m - first.above_home_m

    def __len__(self) -> int:
        return len(self._samples)

    def at(self, time_s: float) -> CameraPose | None:
        """The camera's pose at a time of the video; None outside what was recorded, and while another zoom is set."""
        sample = self._mixed(time_s)
        if sample is None or self._zoomed(sample):
            return None
        north, east, up = self._velocity(time_s)
        # heights count from take-off: the barometer's drift must not tilt the ground under the flight
        return CameraPose(
            latitude_deg=sample.latitude_deg or 0.0,
            longitude_deg=sample.longitude_deg or 0.0,
            amsl_m=self.ground_amsl_m + (sample.above_home_m or 0.0),
            height_above_home_m=sample.above_home_m or 0.0,
            yaw_deg=wrap_degrees(sample.yaw_deg or 0.0),
            pitch_deg=sample.pitch_deg or 0.0,
            roll_deg=wrap_degrees(sample.roll_deg or 0.0),
            velocity_north_m_s=north,
            velocity_east_m_s=east,
            velocity_down_m_s=-up,
            clock_common_sigma_s=_CLOCK_SIGMA_S,
        )

    def highest(self) -> CameraPose | None:
        """The pose farthest above take-off; None where nothing is known."""
        usable = [s for s in self._samples if not self._zoomed(s)]
        top = max(usable, key=lambda s: s.above_home_m or 0.0, default=None)
        return None if top is None else self.at(top.time_s)

    def _zoomed(self, sample: SrtSample) -> bool:
        """Whether the lens is not the one that the video began with, so that its camera does not hold."""
        if sample.focal_35mm is None or self.focal_35mm is None:
            return False
        return abs(sample.focal_35mm / self.focal_35mm - 1.0) > _ZOOM_TOLERANCE

    def _mixed(self, time_s: float) -> SrtSample | None:
        samples = self._samples
        if not samples:
            return None
        i = bisect_left(samples, time_s, key=_time)
        if i < len(samples) and samples[i].time_s == time_s:
            return samples[i]
        if i == 0 or i == len(samples):
            edge = samples[0] if i == 0 else samples[-1]
            return edge if abs(edge.time_s - time_s) <= MAX_BEYOND_S else None
        a, b = samples[i - 1], samples[i]
        if b.time_s - a.time_s > MAX_GAP_S:
            return None
        return _between(a, b, (time_s - a.time_s) / (b.time_s - a.time_s), time_s)

    def _velocity(self, time_s: float) -> tuple[float, float, float]:
        """(north, east, up) in m/s, over a second around a time; zeros where the record does not reach."""
        a, b = self._mixed(time_s - _VELOCITY_OVER_S), self._mixed(time_s + _VELOCITY_OVER_S)
        if a is None or b is None or b.time_s <= a.time_s:
            return 0.0, 0.0, 0.0
        seconds = b.time_s - a.time_s
        latitude, longitude = (a.latitude_deg or 0.0), (a.longitude_deg or 0.0)
        north = math.radians((b.latitude_deg or 0.0) - latitude) * _EARTH_M
        east = math.radians(wrap_degrees((b.longitude_deg or 0.0) - longitude)) * _EARTH_M
        east *= math.cos(math.radians(latitude))
        velocity = (north / seconds, east / seconds, ((b.above_home_m or 0.0) - (a.above_home_m or 0.0)) / seconds)
        return velocity if math.hypot(*velocity) < 60.0 else (0.0, 0.0, 0.0)  # a jump of the receiver


def _between(a: SrtSample, b: SrtSample, f: float, time_s: float) -> SrtSample:
    def mix(x: float | None, y: float | None) -> float | None:
        return None if x is None or y is None else x + (y - x) * f

    def turn(x: float | None, y: float | None) -> float | None:
        return x if x is None or y is None else x + wrap_degrees(y - x) * f

    longitude = turn(a.longitude_deg, b.longitude_deg)
    return SrtSample(
        time_s,
        mix(a.latitude_deg, b.latitude_deg),
        None if longitude is None else wrap_longitude_deg(longitude),
        mix(a.above_home_m, b.above_home_m),
        mix(a.amsl_m, b.amsl_m),
        turn(a.yaw_deg, b.yaw_deg),
        mix(a.pitch_deg, b.pitch_deg),
        turn(a.roll_deg, b.roll_deg),
        a.focal_35mm,
    )
