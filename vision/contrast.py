# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much warmer than the ground a person will look from above, by the hour, and whether thermal is worth flying. Pure.

Ground: the force-restore model of surface temperature (Bhumralkar 1975, Deardorff 1978; coefficient as in Noilhan and
Planton 1989) under
- sun: declination and equation of time of Spencer (1971); clear sky of Haurwitz (1945); clouds of Kasten and Czeplak
  (1980);
- sky: emissivity of Brutsaert (1975), clouds as in Crawford and Duchon (1999), vapour pressure by the Magnus formula
  (Alduchov and Eskridge 1996);
- air: convection of McAdams (1954), evaporation as a share of Priestley and Taylor (1972).
Person: heat balance of the clothed and of the bare upper side, convection of ISO 7730 (2005).

Doubts, of which only the first is in the stated range (10 to 90 %): what the inputs and the ground really are, drawn
from wide distributions. Not in it: the model itself (one kind of ground, level and open; the day before like this one;
no rain, dew or snow melt; air as a cosine of the hour), and our own choice of how rough a ground's temperatures are
(`clutter_c`: a part of the difference between sun and shade). The camera is taken to fill a pixel with the person. The
figures were not fitted to measurements; they say which hours are good, not how many degrees a picture will show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SIGMA: Final = 5.670374419e-8  # W m-2 K-4
_KELVIN: Final = 273.15
_DAY_S: Final = 86400.0
_STEP_S: Final = 120.0
_SPIN_UP_DAYS: Final = 6
_MEMBERS: Final = 48
_DIFFUSE: Final = 0.2  # of the sun's power that reaches ground in the shade
_CLUTTER_SHARE: Final = 0.2  # standard deviation of a scene's temperatures, of the difference between sun and shade
_CLUTTER_FLOOR_C: Final = 0.7
_EXTINCTION_PER_M: Final = 0.0004  # long-wave, humid summer air; 4 % on 100 m
_CORE_C: Final = 37.0
_SKIN_C: Final = 33.5
_TISSUE_M2K_W: Final = 0.05
_CLO_M2K_W: Final = 0.155
_BARE: Final = 0.12  # of what is seen of a person from above
_SKY_SEEN: Final = 0.7  # of what the upper side of a body faces; the rest is ground
_BODY_EMISSIVITY: Final = 0.97


@dataclass(frozen=True, slots=True)
class Ground:
    """A kind of ground. inertia: square root of conductivity times volumetric heat capacity, J m-2 K-1 s-1/2.

    wetness: evaporation as a share of what wet ground would evaporate.
    """

    albedo: float
    emissivity: float
    inertia: float
    wetness: float


# ranges of Oke (1987), tables 1.1, 2.1 and 7.4, rounded; wetness is our estimate
GROUNDS: Final = {
    "grass": Ground(0.22, 0.97, 700.0, 0.65),
    "dry-grass": Ground(0.25, 0.95, 500.0, 0.15),
    "crops": Ground(0.20, 0.97, 750.0, 0.75),
    "soil-dry": Ground(0.22, 0.94, 650.0, 0.05),
    "soil-wet": Ground(0.12, 0.97, 1700.0, 0.6),
    "sand": Ground(0.32, 0.92, 620.0, 0.0),
    "rock": Ground(0.20, 0.94, 2100.0, 0.0),
    "asphalt": Ground(0.10, 0.95, 1250.0, 0.0),
    "concrete": Ground(0.25, 0.92, 1750.0, 0.0),
}


@dataclass(frozen=True, slots=True)
class Weather:
    """One day's weather. Wind at about 2 m above ground; cloud from 0 to 1; humidity in percent at the mean air."""

    air_low_c: float
    air_high_c: float
    wind_m_s: float = 2.0
    cloud: float = 0.3
    humidity_percent: float = 60.0

    def __post_init__(self) -> None:
        if not -60.0 <= self.air_low_c <= self.air_high_c <= 60.0:
            raise ValueError(
                f"air from {self.air_low_c:g} to {self.air_high_c:g} C: -60 <= low <= high <= 60 is wanted"
            )
        if not 0.0 <= self.wind_m_s <= 40.0:
            raise ValueError(f"wind of {self.wind_m_s:g} m/s: 0 to 40 is wanted")
        if not 0.0 <= self.cloud <= 1.0:
            raise ValueError(f"cloud {self.cloud:g}: a share from 0 to 1 is wanted")
        if not 1.0 <= self.humidity_percent <= 100.0:
            raise ValueError(f"humidity {self.humidity_percent:g} %: 1 to 100 is wanted")


class Advice(StrEnum):
    """What to fly. Detectors look for what is warmer than its ground; a person cooler than it is not thermal's."""

    THERMAL = "thermal"
    BOTH = "thermal and photo"
    PHOTO = "photo sweep"
    DOUBTFUL = "thermal, expect misses"
    NEITHER = "wait"


@dataclass(frozen=True, slots=True)
class Hour:
    """The prediction for one time. contrast_*: apparent person minus apparent ground, at the camera, in degrees."""

    at: datetime
    sun_deg: float
    sun_w_m2: float
    air_c: float
    ground_c: float
    person_c: float
    contrast_c: float
    contrast_low_c: float
    contrast_high_c: float
    clutter_c: float
    advice: Advice


def sun_elevation_deg(at: datetime, latitude_deg: float, longitude_deg: float) -> float:
    """Elevation of the sun's centre without refraction, right to about 0.3 degrees. `at` is aware. Spencer (1971)."""
    utc = at.astimezone(UTC)
    hours = utc.hour + utc.minute / 60 + utc.second / 3600
    g = 2 * math.pi * (utc.timetuple().tm_yday - 1 + (hours - 12) / 24) / 365
    declination = (
        0.006918 - 0.399912 * math.cos(g) + 0.070257 * math.sin(g) - 0.006758 * math.cos(2 * g)
        + 0.000907 * math.sin(2 * g) - 0.002697 * math.cos(3 * g) + 0.00148 * math.sin(3 * g)
    )  # fmt: skip
    equation_min = 229.18 * (
        0.000075 + 0.001868 * math.cos(g) - 0.032077 * math.sin(g) - 0.014615 * math.cos(2 * g)
        - 0.040849 * math.sin(2 * g)
    )  # fmt: skip
    angle = math.radians(15.0 * (hours + longitude_deg / 15 + equation_min / 60 - 12))
    latitude = math.radians(latitude_deg)
    sine = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(angle)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))


def sun_w_m2(elevation_deg: float, cloud: Floats | float) -> Floats:
    """Global horizontal irradiance. Haurwitz (1945), Kasten and Czeplak (1980)."""
    sine = math.sin(math.radians(elevation_deg))
    clear = 1098.0 * sine * math.exp(-0.059 / sine) if sine > 0.0 else 0.0
    return np.asarray(clear * (1.0 - 0.75 * np.asarray(cloud, dtype=np.float64) ** 3.4))


def vapour_hpa(air_c: Floats | float) -> Floats:
    """Saturation over water. Alduchov and Eskridge (1996)."""
    t = np.asarray(air_c, dtype=np.float64)
    return np.asarray(6.1094 * np.exp(17.625 * t / (t + 243.04)))


def sky_w_m2(air_c: Floats, vapour: Floats, cloud: Floats) -> Floats:
    """Long-wave radiation from the sky. Brutsaert (1975), Crawford and Duchon (1999)."""
    clear = np.minimum(1.0, 1.24 * (vapour / (air_c + _KELVIN)) ** (1 / 7))
    return np.asarray((cloud + (1.0 - cloud) * clear) * SIGMA * (air_c + _KELVIN) ** 4)


def air_c(weather: Weather, solar_hour: float) -> float:
    """Air over the day: a cosine that is highest at 15 solar time."""
    middle, half = (weather.air_low_c + weather.air_high_c) / 2, (weather.air_high_c - weather.air_low_c) / 2
    return middle + half * math.cos(2 * math.pi * (solar_hour - 15.0) / 24.0)


@dataclass(frozen=True, slots=True)
class _Draw:
    """Members of the ensemble, (m,) each; the first is the stated case."""

    albedo: Floats
    emissivity: Floats
    inertia: Floats
    wetness: Floats
    wind: Floats
    cloud: Floats
    air_offset: Floats
    clo: Floats
    absorbs: Floats
    vapour: Floats


def _draw(ground: Ground, weather: Weather, seed: int) -> _Draw:
    rng = np.random.default_rng(seed)

    def normal(spread: float) -> Floats:
        values = rng.normal(0.0, spread, _MEMBERS)
        values[0] = 0.0
        return values

    mean_air = (weather.air_low_c + weather.air_high_c) / 2
    clo = float(np.clip(1.7 - 0.05 * mean_air, 0.4, 2.2))  # people dress for the day
    vapour = float(vapour_hpa(mean_air)) * weather.humidity_percent / 100
    return _Draw(
        albedo=np.clip(ground.albedo + normal(0.04), 0.03, 0.9),
        emissivity=np.clip(ground.emissivity + normal(0.01), 0.85, 0.99),
        inertia=ground.inertia * np.exp(normal(0.25)),
        wetness=np.clip(ground.wetness + normal(0.15), 0.0, 1.0),
        wind=weather.wind_m_s * np.exp(normal(0.3)),
        cloud=np.clip(weather.cloud + normal(0.15), 0.0, 1.0),
        air_offset=normal(1.2),
        clo=clo * np.exp(normal(0.3)),
        absorbs=np.clip(0.65 + normal(0.12), 0.3, 0.95),
        vapour=vapour * np.exp(normal(0.1)),
    )


def convection_w_m2k(wind_m_s: Floats) -> Floats:
    """Ground to air. McAdams (1954), flat plates."""
    return np.where(wind_m_s < 4.88, 5.7 + 3.8 * wind_m_s, 6.47 * np.maximum(wind_m_s, 1e-9) ** 0.78)


def _evaporated(net: Floats, surface_c: Floats, wetness: Floats) -> Floats:
    """Priestley and Taylor (1972), as a share by wetness; by day only."""
    slope = vapour_hpa(surface_c) * 17.625 * 243.04 / (surface_c + 243.04) ** 2
    return np.asarray(wetness * 1.26 * slope / (slope + 0.66) * np.maximum(net, 0.0))


def restore(
    surface_c: Floats, deep_c: Floats, into_w_m2: Floats, inertia: Floats, step_s: float = _STEP_S
) -> tuple[Floats, Floats]:
    """Surface and deep temperature one step later. Force-restore: Deardorff (1978), Noilhan and Planton (1989)."""
    force = 2.0 * math.sqrt(math.pi) / (inertia * math.sqrt(_DAY_S))
    change = force * into_w_m2 - 2.0 * math.pi / _DAY_S * (surface_c - deep_c)
    return surface_c + change * step_s, deep_c + (surface_c - deep_c) / _DAY_S * step_s


def person_c(
    air: Floats, ground: Floats, sky: Floats, sun: Floats, wind: Floats, insulation_m2k_w: Floats, within_c: float,
    absorbs: Floats,
) -> Floats:  # fmt: skip
    """Surface temperature of a body's upper side in balance, by bisection to 0.001 degrees.

    Heat comes from within_c through the insulation and from the sun; it goes by convection (ISO 7730: the greater of
    2.38 dT^0.25 and 12.1 v^0.5) and by radiation between body, sky and ground.
    """
    low, high = np.full_like(air, -90.0), np.full_like(air, 150.0)
    from_around = _SKY_SEEN * sky + (1.0 - _SKY_SEEN) * SIGMA * (ground + _KELVIN) ** 4
    for _ in range(18):
        middle = (low + high) / 2
        convection = np.maximum(2.38 * np.abs(middle - air) ** 0.25, 12.1 * np.sqrt(wind))
        surplus = (
            (within_c - middle) / insulation_m2k_w + absorbs * sun - convection * (middle - air)
            - _BODY_EMISSIVITY * (SIGMA * (middle + _KELVIN) ** 4 - from_around)
        )  # fmt: skip
        low, high = np.where(surplus > 0, middle, low), np.where(surplus > 0, high, middle)
    return np.asarray((low + high) / 2)


def _apparent_c(surface_c: Floats, emissivity: Floats | float, sky: Floats) -> Floats:
    """What a camera set to emissivity 1 shows: own radiation and what is reflected of the sky."""
    leaves = emissivity * SIGMA * (surface_c + _KELVIN) ** 4 + (1.0 - np.asarray(emissivity)) * sky
    return np.asarray((leaves / SIGMA) ** 0.25 - _KELVIN)


def predict(
    start: datetime,
    latitude_deg: float,
    longitude_deg: float,
    weather: Weather,
    ground: Ground,
    hours: int = 24,
    range_m: float = 80.0,
    seed: int = 0,
) -> list[Hour]:
    """The hours from `start` (aware) on. range_m: from the camera to the person. The same input gives the same output."""
    if start.tzinfo is None:
        raise ValueError("a time without a zone")
    if not -90.0 <= latitude_deg <= 90.0 or not -180.0 <= longitude_deg <= 180.0:
        raise ValueError(f"no place on earth: {latitude_deg:g}, {longitude_deg:g}")
    draw = _draw(ground, weather, seed)
    mean_air = (weather.air_low_c + weather.air_high_c) / 2
    # two columns: ground in the sun and in the shade
    surface = np.full((2, _MEMBERS), mean_air)
    deep = np.full((2, _MEMBERS), mean_air)
    exchange = convection_w_m2k(draw.wind)
    steps = round((_SPIN_UP_DAYS * _DAY_S + hours * 3600.0) / _STEP_S)
    first = start.astimezone(UTC)  # adding to a local time would stumble over summer time
    begin = first - timedelta(days=_SPIN_UP_DAYS)
    told: list[Hour] = []
    for step in range(steps):
        at = begin + timedelta(seconds=step * _STEP_S)
        elevation = sun_elevation_deg(at, latitude_deg, longitude_deg)
        air = air_c(weather, (at.hour + at.minute / 60 + longitude_deg / 15) % 24) + draw.air_offset
        sun = sun_w_m2(elevation, draw.cloud)
        sky = sky_w_m2(air, draw.vapour, draw.cloud)
        if at >= first and (at - first).total_seconds() % 3600.0 == 0.0:
            told.append(_hour(at.astimezone(start.tzinfo), elevation, sun, air, surface, sky, draw, range_m))
        shone = np.stack([sun, _DIFFUSE * sun])
        net = (1.0 - draw.albedo) * shone + draw.emissivity * (sky - SIGMA * (surface + _KELVIN) ** 4)
        into = net - exchange * (surface - air) - _evaporated(net, surface, draw.wetness)
        surface, deep = restore(surface, deep, into, draw.inertia)
    return told


def _hour(
    at: datetime, elevation: float, sun: Floats, air: Floats, surface: Floats, sky: Floats, draw: _Draw, range_m: float
) -> Hour:
    clothed = person_c(air, surface[0], sky, sun, draw.wind, _CLO_M2K_W * draw.clo, _SKIN_C, draw.absorbs)
    bare = person_c(air, surface[0], sky, sun, draw.wind, np.full_like(air, _TISSUE_M2K_W), _CORE_C, draw.absorbs)
    seen = (1.0 - _BARE) * _apparent_c(clothed, _BODY_EMISSIVITY, sky) + _BARE * _apparent_c(
        bare, _BODY_EMISSIVITY, sky
    )
    below = _apparent_c(surface[0], draw.emissivity, sky)
    contrast = (seen - below) * math.exp(-_EXTINCTION_PER_M * range_m)
    low, high = np.percentile(contrast, (10, 90))
    clutter = math.hypot(_CLUTTER_FLOOR_C, _CLUTTER_SHARE * float(surface[0, 0] - surface[1, 0]))
    return Hour(
        at=at, sun_deg=elevation, sun_w_m2=float(sun[0]), air_c=float(air[0]), ground_c=float(surface[0, 0]),
        person_c=float(seen[0]), contrast_c=float(contrast[0]), contrast_low_c=float(low), contrast_high_c=float(high),
        clutter_c=clutter, advice=advise(float(contrast[0]), float(low), clutter, elevation),
    )  # fmt: skip


def advise(contrast_c: float, low_c: float, clutter_c: float, sun_deg: float) -> Advice:
    """Thermal, photo, or neither.

    Thermal where a person stands out three times as far as the ground's own unrest, and by 1.5 degrees even in the
    lower tenth; photos where the sun is 5 degrees up and thermal is not enough.
    """
    light = sun_deg >= 5.0
    if contrast_c >= 3.0 * clutter_c and low_c >= 1.5:
        return Advice.THERMAL
    if contrast_c >= 1.5 * clutter_c and contrast_c >= 1.5:
        return Advice.BOTH if light else Advice.DOUBTFUL
    return Advice.PHOTO if light else Advice.NEITHER
