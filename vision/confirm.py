# SPDX-License-Identifier: AGPL-3.0-or-later
"""When a track is worth telling anybody about, as what, and how sure we are: k of n looks, in words. Pure.

The rules, in order; a chance is a frame in which the thing should have been in view:
1. fire: 2 of the last 3 chances at or above the fire temperature, and it is not the sun in a mirror (`vision/mirror.py`).
   Where the looks are known to come from about one direction and the sun is up, its heat must flicker as flames do and
   mirrors do not. The same holds for hot spots above `glint_c`. With the sun down there is nothing to wait for. Where
   nobody knows whether it is down, what may be a mirror is told as a hot spot at once: silence could cost more than a
   look.
   Fire by its look alone, as a learned detector with such a class says: 3 of the last 5 chances, whose scores average at
   least `mean_score`. Where the camera measures degrees, looks at what is as cool as `glint_c` are none of fire.
2. person, vehicle, animal or stall: 3 of the last 5 chances seen, at least 2 of them by the learned detector as that kind,
   whose scores over the seen looks average at least `mean_score`. Two looks are enough when both are strong and the
   hot-spot detector agrees. In radiometric pictures what is warm there must have the outline of a body: a boulder or a
   bonnet is too large, too wide, or too broad for its length; and on cold ground it must be warmer than a stone is.
3. warm body: 3 of the last 5 chances seen by the hot-spot detector, in degrees: as much warmer than the ground, as
   large and as long for its width as a person who stands, sits, curls up or lies. Networks trained on people who stand
   miss those who lie. Called a person of little confidence, because a large dog or a warm machine can pass for one.
4. smoke: 3 of the last 5 chances. The detector of its cues has watched it for some looks before.
5. hot spot: 3 of the last 5 chances seen by the hot-spot detector alone. It is warm and of a person's size, and
   nothing says more: rocks and animals look like this too, and so do people whom the network misses.

Confidence is what the looks support, not their product: looks at one thing from nearly one place are far from
independent, so that any number of them counts as two independent ones at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Final

from vision.mirror import MirrorSettings, area, as_hot_as_it_gets, why_no_mirror
from vision.sighting import Kind
from vision.unite import SMOKE_CUES, Observation

_BY_LOOK: Final = 0.85  # what no instrument measures is no surer than this
LEARNED_KINDS: Final = (Kind.PERSON, Kind.VEHICLE, Kind.ANIMAL, Kind.STALL)


@dataclass(frozen=True, slots=True)
class Shape:
    """The ellipse that stands for a warm spot: medians over the looks."""

    long_m: float
    slender: float  # long axis over short axis
    area_m2: float


@dataclass(frozen=True, slots=True)
class WarmBody:
    """What passes for a person by heat and shape alone, by medians over the looks. Axes as in spot_axes_m."""

    min_contrast_c: float = 5.2  # sun-heated stones keep 1 to 5 degrees into the night, clothed people show 5 to 10
    max_temperature_c: float = 42.0  # more is a machine
    min_area_m2: float = 0.09
    max_area_m2: float = 1.0
    max_width_m: float = 0.70  # arms spread
    tall_m: float = 1.3  # longer: somebody stretched out, who is at least so slender
    tall_elongation: float = 2.5
    short_m: float = 1.0  # shorter and yet more slender than this: four legs and a back
    short_elongation: float = 2.2
    skin_c: float = 33.0
    least_share: float = 0.17  # of what skin is above the ground; clothes show a quarter and more
    least_contrast_c: float = 3.4  # more is not asked of anybody whom the learned detector takes for a person
    vehicle_score: float = 0.15  # a bonnet: the learned detector says so at least once

    def fits(self, shape: Shape) -> bool:
        """Whether a human body can look so from above: neither too large, too wide, nor too broad for its length."""
        broad = shape.long_m > self.tall_m and shape.slender < self.tall_elongation
        return shape.area_m2 <= self.max_area_m2 and shape.long_m / shape.slender <= self.max_width_m and not broad


@dataclass(frozen=True, slots=True)
class ConfirmSettings:
    """k, n and thresholds of the rules above."""

    looks: int = 3
    chances: int = 5
    learned_looks: int = 2
    mean_score: float = 0.40  # stones of the demonstration reach .37, people mostly .5 and more
    sure_score: float = 0.75  # of looks whose warmth need not agree
    strong_score: float = 0.6
    strong_sigma: float = 7.0
    fire_looks: int = 2
    fire_chances: int = 3
    warm_body: WarmBody = field(default_factory=WarmBody)
    glint_c: float = 60.0  # cooler than this is nothing that the sun in a mirror would be mistaken for
    mirror: MirrorSettings = field(default_factory=MirrorSettings)
    growth: float = 1.3  # of a fire's area over the looks, to be called growing
    smoke_looks: int = 3
    heat_bonus: float = 0.3  # share of the remaining doubt that an agreeing hot spot takes away


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a track is taken for, how surely, and by which rule."""

    kind: Kind
    confidence: float
    rule: str


def judge(
    window: Sequence[Observation | None],
    settings: ConfirmSettings | None = None,
    *,
    spaced: Sequence[Observation | None] | None = None,
    hottest_c: float | None = None,
    sun_up: bool | None = None,
) -> Verdict | None:
    """The verdict on the newest chances (oldest first, None where it was not seen); None: not confirmed.

    Only the last `chances` entries count. spaced: chances that lie some tenths of a second apart, for what tells fires
    from mirrors; None: those of the window do. hottest_c: that it ever was, if not in the window. sun_up: whether the
    sun may have stood above the horizon at the newest look; None: not known.
    """
    s = settings or ConfirmSettings()
    recent = list(window)[-s.chances :]
    seen = [o for o in recent if o is not None]
    if not seen:
        return None
    apart = list(window if spaced is None else spaced)
    fire = _fire(recent, apart, s, sun_up)
    if fire is not None:
        return fire
    best = _flames(recent, s)
    for kind in LEARNED_KINDS:
        verdict = _learned(kind, recent, seen, s)
        if verdict is not None and (best is None or verdict.confidence > best.confidence):
            best = verdict
    return (
        best or _smoke(recent, s) or _warm_body(recent, seen, s) or _hot_spot(recent, seen, apart, hottest_c, s, sun_up)
    )


def _fire(
    recent: Sequence[Observation | None],
    spaced: Sequence[Observation | None],
    s: ConfirmSettings,
    sun_up: bool | None,
) -> Verdict | None:
    last = recent[-s.fire_chances :]
    burning = [o for o in last if o is not None and o.fire]
    if len(burning) < s.fire_looks:
        return None
    hottest = max(o.temperature_max_c or 0.0 for o in burning)
    hot = [o if o is not None and o.fire else None for o in spaced]
    proof = why_no_mirror(hot if any(hot) else burning, s.mirror)
    if proof is None and sun_up is None:
        return Verdict(
            Kind.HOT_SPOT,
            0.5,
            f"hot spot: {len(burning)} of {len(last)} looks at fire temperature, hottest {hottest:.0f} C, all from one "
            "direction; it may be a reflection of the sun",
        )
    if proof is None and not sun_up:
        proof = ", and the sun is down"
    if proof is None:
        return None
    areas = [area(o) for o in recent if o is not None and o.fire and o.area_px]
    growing = len(areas) >= 3 and areas[-1] > s.growth * areas[0] and areas[-1] > areas[len(areas) // 2]
    unit = "m2" if burning[-1].area_m2 is not None else "pixels"
    grows = f", growing from {areas[0]:.2g} to {areas[-1]:.2g} {unit}" if growing else ""
    return Verdict(
        Kind.FIRE,
        min(0.97, 0.85 + 0.04 * len(burning) + (0.04 if growing else 0.0)),
        f"fire: {len(burning)} of {len(last)} looks at fire temperature, hottest {hottest:.0f} C{grows}{proof}",
    )


def _flames(recent: Sequence[Observation | None], s: ConfirmSettings) -> Verdict | None:
    seen = [o for o in recent if o is not None]
    # what is hot enough by itself is judged by its heat, which may be the sun's
    looks = [o for o in seen if o.flames > 0 and not o.fire]
    burning = [o for o in looks if o.temperature_max_c is None or o.temperature_max_c > s.glint_c]
    if len(burning) < s.looks:
        return None
    mean = sum(o.flames for o in burning) / len(seen)
    if mean < s.mean_score:
        return None
    hit = len(seen) / len(recent)
    heats = [o.temperature_max_c for o in burning if o.temperature_max_c is not None]
    heat = f", hottest {max(heats):.0f} C" if heats else "; no heat was measured"
    return Verdict(
        Kind.FIRE,
        min(_BY_LOOK, 1.0 - (1.0 - mean * hit) ** 2),
        f"fire by its look alone: {len(burning)} of {len(recent)} looks, learned {mean:.2f}{heat}",
    )


def _smoke(recent: Sequence[Observation | None], s: ConfirmSettings) -> Verdict | None:
    seen = [o for o in recent if o is not None and o.smoke > 0]
    looks = [o.smoke for o in seen]
    if len(looks) < s.smoke_looks:
        return None
    by_cues = any(SMOKE_CUES in o.detectors for o in seen)
    said = "moving, without colour and without edges of the ground" if by_cues else f"learned {fmean(looks):.2f}"
    return Verdict(
        Kind.SMOKE,
        min(0.85, fmean(looks) * (0.6 + 0.4 * len(looks) / len(recent))),
        f"smoke: {len(looks)} of {len(recent)} looks, {said}",
    )


def _learned(
    kind: Kind, recent: Sequence[Observation | None], seen: Sequence[Observation], s: ConfirmSettings
) -> Verdict | None:
    scores = [o.score(kind) for o in seen if o.learned_kind is kind]
    if len(scores) < s.learned_looks:
        return None
    mean = sum(o.score(kind) for o in seen) / len(seen)
    sigmas = [o.hot_sigma for o in seen if o.hot_sigma > 0]
    strong = [o for o in seen if o.score(kind) >= s.strong_score and o.hot_sigma >= s.strong_sigma]
    if mean < s.mean_score or (len(seen) < s.looks and len(strong) < s.learned_looks):
        return None
    if kind is Kind.PERSON:
        axes = [a for o in seen if o.contrast_c is not None and (a := o.spot_axes_m) is not None]
        if len(axes) >= s.learned_looks and not s.warm_body.fits(_shape(axes)):
            return None
        if mean < s.sure_score and _too_cool(seen, s):
            return None
    hit = len(seen) / len(recent)
    heat = len(sigmas) / len(seen)
    confidence = 1.0 - (1.0 - mean * hit) ** 2 * (1.0 - s.heat_bonus * heat)
    text = f"{kind.value}: {len(seen)} of {len(recent)} looks, learned {mean:.2f}"
    if sigmas:
        text += f" and hot spot {sum(sigmas) / len(sigmas):.1f} sigma"
    return Verdict(kind, min(confidence, 0.98), text)


def _too_cool(seen: Sequence[Observation], s: ConfirmSettings) -> bool:
    """Whether what was measured in degrees is hardly warmer than ground far colder than a body: a stone after a sunny day.

    On warm ground people hardly stand out, and so little is asked there.
    """
    looks = [
        (o.contrast_c, o.temperature_max_c - o.contrast_c)
        for o in seen
        if o.contrast_c is not None and o.temperature_max_c is not None
    ]
    if len(looks) < s.learned_looks:
        return False
    ground = median(ground for _, ground in looks)
    asked = min(s.warm_body.least_contrast_c, s.warm_body.least_share * (s.warm_body.skin_c - ground))
    return asked > 0.0 and median(contrast for contrast, _ in looks) < asked


def _shape(axes: Sequence[tuple[float, float]]) -> Shape:
    return Shape(
        median(long for long, _ in axes),
        median(long / short for long, short in axes),
        median(math.pi / 4.0 * long * short for long, short in axes),
    )


def _warm_body(recent: Sequence[Observation | None], seen: Sequence[Observation], s: ConfirmSettings) -> Verdict | None:
    body = s.warm_body
    looks = [(o, o.spot_axes_m, o.contrast_c) for o in seen if o.hot_sigma >= s.strong_sigma and not o.fire]
    shaped = [(o, axes, contrast) for o, axes, contrast in looks if axes is not None and contrast is not None]
    if len(shaped) < s.looks or max(o.score(Kind.VEHICLE) for o in seen) >= body.vehicle_score:
        return None
    contrast = median(c for _, _, c in shaped)
    hottest = median(o.temperature_max_c if o.temperature_max_c is not None else math.inf for o, _, _ in shaped)
    shape = _shape([axes for _, axes, _ in shaped])
    if contrast < body.min_contrast_c or hottest > body.max_temperature_c or not body.fits(shape):
        return None
    if shape.area_m2 < body.min_area_m2 or (shape.long_m < body.short_m and shape.slender >= body.short_elongation):
        return None
    learned = sum(o.score(Kind.PERSON) for o in seen) / len(seen)
    said = f"learned {learned:.2f}" if learned else "the learned detector says nothing"
    warmth = min(1.0, (contrast - body.min_contrast_c) / 4.0)
    return Verdict(
        Kind.PERSON,
        min(0.6, len(shaped) / len(recent) * (0.42 + 0.08 * warmth) + 0.3 * learned),
        f"person by warmth and shape alone: {len(shaped)} of {len(recent)} looks, {contrast:.1f} C above the ground, "
        f"{shape.long_m:.1f} m long, {said}; it may be an animal",
    )


def _hot_spot(
    recent: Sequence[Observation | None],
    seen: Sequence[Observation],
    spaced: Sequence[Observation | None],
    hottest_c: float | None,
    s: ConfirmSettings,
    sun_up: bool | None,
) -> Verdict | None:
    sigmas = [o.hot_sigma for o in seen if o.hot_sigma > 0]
    if len(sigmas) < s.looks:
        return None
    hottest = max([o.temperature_max_c or 0.0 for o in seen] + [hottest_c or 0.0])
    suspect = hottest >= s.glint_c and sun_up is not False
    mirror = suspect and why_no_mirror(as_hot_as_it_gets(spaced, hottest), s.mirror) is None
    if mirror and sun_up:
        return None
    mean = sum(sigmas) / len(sigmas)
    learned = max((o.learned_score for o in seen), default=0.0)
    said = f"the learned detector says {learned:.2f}" if learned else "the learned detector says nothing"
    return Verdict(
        Kind.HOT_SPOT,
        0.5 * len(sigmas) / len(recent) * (1.0 - s.strong_sigma / (mean + s.strong_sigma)),
        f"hot spot: {len(sigmas)} of {len(recent)} looks, {mean:.1f} sigma, {said}"
        + ("; it may be a reflection of the sun" if mirror else ""),
    )
