# SPDX-License-Identifier: AGPL-3.0-or-later
"""Colours and symbols of the maps, in one place, so that map and legend agree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

from missions.model import FlightPlan

# Told apart by people with colour-blindness as well; red is kept for keep-outs and alerts.
DRONE_COLOURS: Final = ("#0b62b0", "#c2540a", "#6b2fb3", "#05795b", "#b0126f", "#7a5c00", "#0e7490", "#4d4d4d")
FONT: Final = "'Noto Sans','Noto Sans CJK SC','Source Han Sans SC','PingFang SC','Microsoft YaHei',sans-serif"
HALO: Final = 'paint-order="stroke" stroke="#ffffff" stroke-width="3.5" stroke-linejoin="round"'

STYLE: Final = (
    f".dm text{{font-family:{FONT};font-size:12px;fill:#1f2937}}"
    ".dm .veil{fill:#ffffff;fill-opacity:.62}"
    ".dm .fence{fill:none;stroke:#14532d;stroke-width:2.2;stroke-dasharray:9 4 2 4}"
    ".dm .keepout{fill:url(#dm-hatch);stroke:#b91c1c;stroke-width:1.8}"
    ".dm .school{fill:#f59e0b;fill-opacity:.45;stroke:#92400e;stroke-width:1.3}"
    ".dm .must-line{fill:none;stroke:#facc15;stroke-width:11;stroke-opacity:.55;stroke-linecap:round;"
    "stroke-linejoin:round}"
    ".dm .plan-casing{fill:none;stroke:#fff;stroke-width:5;stroke-opacity:.8;stroke-linejoin:round}"
    ".dm .plan,.dm .track{fill:none;stroke-width:2.6;stroke-linejoin:round;stroke-linecap:round}"
    ".dm .return{fill:none;stroke-width:2;stroke-dasharray:2 6;stroke-linecap:round}"
    ".dm .plan-thin,.dm .return-thin{fill:none;stroke-width:1.1;stroke-dasharray:5 4;stroke-opacity:.75}"
    ".dm .name{font-weight:600}.dm .name.line{font-style:italic;font-weight:500;fill:#713f12}"
    ".dm .name.dock{font-weight:700}"
    ".dm .ellipse{fill:#dc2626;fill-opacity:.14;stroke:#b91c1c;stroke-width:1}"
    ".dm .scale rect,.dm .north circle{fill:#ffffff;fill-opacity:.86;stroke:#9ca3af;stroke-width:.6}"
    ".dm .scale path{fill:none;stroke:#111827;stroke-width:1.6}.dm .north path{fill:#111827}"
    ".dm .north text{font-weight:700;font-size:11px}"
    ".dm .title{font-size:19px;font-weight:700}.dm .soft{fill:#6b7280;font-size:11.5px}"
    ".dm .head{font-size:13px;font-weight:700}.dm .figure{font-variant-numeric:tabular-nums}"
)


class MarkerStyle(StrEnum):
    """What became of an alert, or of something that should have raised one."""

    TRUE = "true"
    FALSE = "false"
    DUPLICATE = "duplicate"
    UNSCORED = "unscored"
    MISSED = "missed"


def colour_of(vehicle_id: str, plans: Sequence[FlightPlan]) -> str:
    """A vehicle's colour beside those of the plans' vehicles."""
    return colours_of([*(plan.vehicle_id for plan in plans), vehicle_id])[vehicle_id]


def colours_of(vehicle_ids: Iterable[str]) -> dict[str, str]:
    """Each vehicle's colour: by the number that ends its name, so that d2 is the same in every picture, whoever is in it.

    Where names have no such numbers, or two would share a colour, it is by the order of the names.
    """
    ids = sorted(set(vehicle_ids), key=lambda name: (_number(name) or 0, name))
    places = [(number - 1) % len(DRONE_COLOURS) for name in ids if (number := _number(name)) is not None]
    if len(set(places)) < len(ids):
        places = [i % len(DRONE_COLOURS) for i in range(len(ids))]
    return {name: DRONE_COLOURS[place] for name, place in zip(ids, places, strict=True)}


def _number(name: str) -> int | None:
    digits = re.search(r"\d{1,9}$", name)
    return None if digits is None else int(digits.group())


def symbol(kind: str, x: float, y: float, label: str = "") -> str:
    """A symbol centred on a place; `label` (escaped by the caller) goes into round ones."""
    return f'<g transform="translate({x:.1f},{y:.1f})">{_BODIES[kind].format(label=label)}</g>'


def _round(fill: str, stroke: str, text: str) -> str:
    return (
        f'<circle r="9" fill="{fill}" stroke="{stroke}" stroke-width="1.8"/>'
        f'<text y="3.8" text-anchor="middle" style="fill:{text};font-size:10.5px;font-weight:700">{{label}}</text>'
    )


_BODIES: Final = {
    "dock": (
        '<rect x="-9" y="-9" width="18" height="18" rx="4" fill="#111827" stroke="#fff" stroke-width="1.6"/>'
        '<path d="M-4,-5V5M4,-5V5M-4,0H4" stroke="#fff" stroke-width="2.2" fill="none"/>'
    ),
    "point": ('<circle r="7" fill="#fff" stroke="#111827" stroke-width="2"/><circle r="2.8" fill="#111827"/>'),
    "camera": (
        '<circle r="8" fill="#fff" stroke="#374151" stroke-width="1.2"/>'
        '<path d="M-5,-3H2V3H-5ZM2,-1L5.5,-3V3L2,1Z" fill="#374151"/>'
    ),
    "post": ('<path d="M0,-8L7,-5V1C7,5 3,7 0,9C-3,7 -7,5 -7,1V-5Z" fill="#1d4ed8" stroke="#fff" stroke-width="1.4"/>'),
    MarkerStyle.TRUE.value: _round("#dc2626", "#ffffff", "#ffffff"),
    MarkerStyle.UNSCORED.value: _round("#ea580c", "#ffffff", "#ffffff"),
    MarkerStyle.DUPLICATE.value: _round("#ffffff", "#dc2626", "#dc2626"),
    MarkerStyle.FALSE.value: (
        '<path d="M-7,-7L7,7M7,-7L-7,7" stroke="#ffffff" stroke-width="6"/>'
        '<path d="M-7,-7L7,7M7,-7L-7,7" stroke="#111827" stroke-width="3"/>'
        '<text x="11" y="4" style="font-weight:700">{label}</text>'
    ),
    MarkerStyle.MISSED.value: (
        '<path d="M0,-10L10,8H-10Z" fill="#facc15" stroke="#111827" stroke-width="1.4"/>'
        '<text y="6" text-anchor="middle" style="font-size:10px;font-weight:700">{label}</text>'
    ),
}
