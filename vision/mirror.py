# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether something hot may be the sun in a mirror: by the directions it shows to, and by how its heat changes. Pure.

Metal, glass and water show the sun to one direction only. What is hot from directions that lie wider apart than a sheet's
lobe is none. Seen from one direction, as a hovering or fixed camera does:

- What a mirror shows depends on where the camera is, and that changes smoothly: a mirror's heat drifts, a flame's jumps
  from look to look. Its restlessness is what is left of the heat when straight drifts are taken out: second differences
  over sqrt 6 (Gasser, Sroka and Jennen-Steinmetz, Biometrika 73, 1986). Flames about a metre wide puff 1.5 times a second
  (Cetegen and Ahmed, Combustion and Flame 93, 1993), so that looks some tenths of a second apart differ.
- The area above a temperature says nothing by itself: a facet that drifts across that temperature comes and goes as a
  whole. It grows as a mirror drifts into view, too, so that growth counts only of what is restless besides.
- A mirror that shakes blinks all its facets together; a flame's area and heat go their own ways.
- A heat that never changes is where the camera ends, and then the area has to do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import correlation, fmean, median

from vision.unite import Observation


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """Bounds of what the sun in a mirror can do."""

    lobe_deg: float = 12.0  # facets of sheet metal tilt by 3 degrees and less either way; reflection doubles that
    restless: float = 0.06  # of the heat, relative, per look; rendered mirrors reach .033, fires mostly .1 and more
    restless_growing: float = 0.04  # of what also grows
    looks: int = 4
    growth: float = 1.3  # of the area, over at least so many looks
    together: float = 0.8  # correlation of area and heat


def why_no_mirror(chances: Sequence[Observation | None], settings: MirrorSettings) -> str | None:
    """Why hot looks are not the sun in a mirror, in words; empty where directions are not known; None: they may be.

    chances: oldest first and some tenths of a second apart; None where it was not hot or not seen.
    """
    s = settings
    looks = [o for o in chances if o is not None]
    views = [o.view for o in looks if o.view is not None]
    if len(views) < len(looks):
        return ""
    cosine = min((sum(a * b for a, b in zip(v, w, strict=True)) for v in views for w in views), default=1.0)
    spread_deg = math.degrees(math.acos(min(1.0, max(-1.0, cosine))))
    if spread_deg >= s.lobe_deg:
        return f", from directions {spread_deg:.0f} degrees apart"
    if len(looks) < s.looks:
        return None
    heats = [o.temperature_max_c or 0.0 for o in looks]
    ends = max(heats) == min(heats)
    restless = _restless([None if o is None else area(o) if ends else o.temperature_max_c for o in chances])
    # a fire's area is what is hotter than a bound, a spot's what is hotter than half its peak: not to be compared
    alike = [o for o in looks if o.fire is looks[-1].fire]
    areas = [area(o) for o in alike]
    half = len(areas) // 2
    grown = median(areas[half:]) / median(areas[:half]) if half and min(areas) > 0 else 1.0
    if grown >= s.growth and len(alike) >= s.looks and (ends or restless >= s.restless_growing):
        return f", growing {grown:.1f} times"
    if restless >= s.restless and _correlation(areas, [o.temperature_max_c or 0.0 for o in alike]) < s.together:
        return f", flickering by {restless:.0%}"
    return None


def as_hot_as_it_gets(chances: Sequence[Observation | None], hottest_c: float) -> list[Observation | None]:
    """The chances, None where it was not seen or is less than half as hot as at its hottest.

    Half of what it is above its surroundings: a mirror's lobe falls off to all sides, what is hot by itself does not.
    """
    seen = [(o.temperature_max_c, o.contrast_c) for o in chances if o is not None]
    grounds = [hot_c - contrast_c for hot_c, contrast_c in seen if hot_c is not None and contrast_c is not None]
    bound_c = (hottest_c + median(grounds)) / 2 if grounds else hottest_c / 2
    return [None if o is None or (o.temperature_max_c or 0.0) < bound_c else o for o in chances]


def area(observation: Observation) -> float:
    """What it covers: square metres where there is a scale, else pixels."""
    square_m = observation.area_m2
    return square_m if square_m is not None else float(observation.area_px or 0)


def _restless(values: Sequence[float | None]) -> float:
    """Root mean square change from look to look beside straight drifts, relative to the mean; gaps are not bridged."""
    known = [v for v in values if v is not None]
    changes = [None if a is None or b is None else b - a for a, b in pairwise(values)]
    bends = [b - a for a, b in pairwise(changes) if a is not None and b is not None]
    if len(bends) < 2 or fmean(known) <= 0:
        return 0.0
    return math.sqrt(fmean(d * d for d in bends) / 6.0) / fmean(known)


def _correlation(a: Sequence[float], b: Sequence[float]) -> float:
    return correlation(a, b) if len(set(a)) > 1 and len(set(b)) > 1 else 0.0
