# SPDX-License-Identifier: AGPL-3.0-or-later
"""From heat to patrol weights, each with its reasons: which cases it comes from, and how the number is made.

A place that is visited f times a day leaves its cases unwatched for a time in proportion to 1 / f. The sum of density
times that time is least, for a given number of visits, when f grows with the square root of the density (Lagrange). So
a weight is the square root of the density at the item over the area's mean, kept between a least and a greatest value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from missions.geo import FloatArray
from missions.heat.density import HeatMap

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Reason:
    """One case behind a weight: its share of the density at the item, 0 to 1."""

    case_id: str
    kind: str
    days_ago: int
    distance_m: float
    recency: float
    share: float


@dataclass(frozen=True, slots=True)
class ItemWeight:
    """How often an item should be visited against an average place, and why.

    relative: density over the area's mean; weight: sqrt(relative) within limits, `limited` says which limit held.
    reasons: the cases with the largest shares; the other cases have others_share together.
    """

    item_id: str
    name: str
    per_km2: float
    mean_per_km2: float
    relative: float
    weight: float
    limited: str
    cases_near: int
    near_m: float
    reasons: tuple[Reason, ...]
    others: int
    others_share: float


def item_weight(
    heat: HeatMap, item_id: str, name: str, samples_m: FloatArray, *, least: float = 0.5, greatest: float = 2.0
) -> ItemWeight:
    """Weight of an item given by (k, 2) places along it (one for a point); its density is the mean over them."""
    if not 0.0 < least <= 1.0 <= greatest:
        raise ValueError("weights lie around 1: the least above 0 and at most 1, the greatest at least 1")
    added = heat.contributions(samples_m).mean(axis=0)
    per_km2 = float(added.sum())
    relative = per_km2 / heat.mean_per_km2
    wanted = math.sqrt(relative)
    weight = min(greatest, max(least, wanted))
    limited = "greatest" if wanted > greatest else "least" if wanted < least else ""
    gap = np.sqrt(((samples_m[:, None, :] - heat.places_m[None, :, :]) ** 2).sum(axis=2)).min(axis=0)
    near_m = 2.0 * heat.bandwidth_m
    order = [int(i) for i in np.argsort(-added, kind="stable")[:_NAMED] if added[i] > 0.0]
    reasons = tuple(
        Reason(
            heat.cases[i].case_id,
            heat.cases[i].kind,
            (heat.as_of - heat.cases[i].day).days,
            float(gap[i]),
            float(heat.recency[i]),
            float(added[i]) / per_km2,
        )
        for i in order
    )
    return ItemWeight(
        item_id,
        name,
        per_km2,
        heat.mean_per_km2,
        relative,
        weight,
        limited,
        int((gap <= near_m).sum()),
        near_m,
        reasons,
        len(heat.cases) - len(reasons),
        max(0.0, 1.0 - sum(r.share for r in reasons)),
    )


def sentence(item: ItemWeight) -> str:
    """The weight in words."""
    near = f"{item.cases_near} case{'' if item.cases_near == 1 else 's'} within {item.near_m:.0f} m"
    newest = min((r.days_ago for r in item.reasons), default=None)
    when = "" if newest is None or not item.cases_near else f", the newest of those that count most {newest} days ago"
    held = f" (held at the {item.limited} weight)" if item.limited else ""
    return (
        f"{item.name}: {near}{when}; {item.relative:.2f} times the area's mean density, so its weight is "
        f"sqrt({item.relative:.2f}) = {math.sqrt(item.relative):.2f}{held}"
        f"{'' if not item.limited else f', {item.weight:.2f}'}"
    )
