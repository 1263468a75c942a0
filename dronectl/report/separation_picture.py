# SPDX-License-Identifier: AGPL-3.0-or-later
"""When everyone flies, as SVG: a row per drone with its phases after separation, and its conflicts before it."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from dronectl.report.map_style import FONT
from missions.deconflict.model import Resolution
from missions.deconflict.trajectory import Phase, Trajectory

_LEFT_PX, _RIGHT_PX, _TOP_PX, _ROW_PX, _BOTTOM_PX = 120.0, 30.0, 92.0, 46.0, 54.0
_CHART_PX = 900.0
_COLOURS: Final = {
    Phase.LAUNCH: "#0e7490",
    Phase.ROUTE: "#0b62b0",
    Phase.STAY: "#7dabd6",
    Phase.RETURN: "#6b2fb3",
    Phase.LANDING: "#c2540a",
}
_NAMES: Final = {
    Phase.LAUNCH: "launch",
    Phase.ROUTE: "on the way",
    Phase.STAY: "hold or turn",
    Phase.RETURN: "return",
    Phase.LANDING: "landing",
}
_STEPS_S = (10, 30, 60, 120, 300, 600, 1200, 3600, 7200)


def timeline_svg(found: Resolution, starts_before_s: tuple[float, ...]) -> str:
    """Draw the rows in the order of the flights. starts_before_s: their starts as they were given."""
    first = min((f.start_s for f in found.flights), default=0.0)
    first = min([first, *starts_before_s])
    ends = [f.start_s + t.duration_s for f, t in zip(found.flights, found.trajectories, strict=True)]
    last = max([*ends, first + found.makespan_before_s, first + 1.0])
    scale = _CHART_PX / (last - first)
    height = _TOP_PX + _ROW_PX * len(found.flights) + _BOTTOM_PX
    width = _LEFT_PX + _CHART_PX + _RIGHT_PX

    def x(seconds: float) -> float:
        return _LEFT_PX + (seconds - first) * scale

    parts = [_legend(), _axis(first, last, scale, height)]
    row = {f.plan.vehicle_id: _TOP_PX + _ROW_PX * i for i, f in enumerate(found.flights)}
    for flight, trajectory, wished in zip(found.flights, found.trajectories, starts_before_s, strict=True):
        y = row[flight.plan.vehicle_id]
        parts.append(
            f'<text x="{_LEFT_PX - 12:.0f}" y="{y + 24:.0f}" text-anchor="end" font-weight="600">'
            f"{escape(flight.plan.vehicle_id)}</text>"
        )
        if flight.start_s > wished:
            parts.append(
                f'<rect x="{x(wished):.1f}" y="{y + 12:.0f}" width="{(flight.start_s - wished) * scale:.1f}" height="16" '
                f'fill="url(#wait)"><title>starts {flight.start_s - wished:.1f} s later</title></rect>'
            )
        parts += [
            f'<rect x="{x(flight.start_s + begin):.1f}" y="{y + 12:.0f}" width="{max(0.4, (end - begin) * scale):.1f}" '
            f'height="16" fill="{_COLOURS[phase]}"/>'
            for phase, begin, end in _phases(trajectory)
        ]
    for met in found.meetings:
        for one, other in ((met.first, met.second), (met.second, met.first)):
            parts.append(
                f'<path d="M{x(met.time_s):.1f},{row[one] + 11:.0f}l-4,-7h8z" fill="#dc2626"><title>before: within '
                f"{met.lateral_m:.0f} m of {escape(other)}, {met.vertical_m:.0f} m in height, {met.time_s:.0f} s after "
                "the first start</title></path>"
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="Flights over time"><style>text{{font-family:{FONT};font-size:12px;fill:#1f2937}}</style>'
        '<defs><pattern id="wait" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="#f3f4f6"/><line x1="0" y1="0" x2="0" y2="6" stroke="#9ca3af" stroke-width="2"/>'
        f'</pattern></defs><rect width="100%" height="100%" fill="#ffffff"/>{_title(found)}{"".join(parts)}</svg>\n'
    )


def _title(found: Resolution) -> str:
    count = len(found.meetings)
    said = f"{count} conflict{'' if count == 1 else 's'} before, none after; last landing {found.inflation:+.1%}"
    return f'<text x="16" y="28" style="font-size:18px;font-weight:700">{said}</text>'


def _legend() -> str:
    parts, at = [], 16.0
    entries = [("url(#wait)", "waits on its pad"), *((_COLOURS[p], _NAMES[p]) for p in Phase)]
    for fill, name in entries:
        parts.append(
            f'<rect x="{at:.0f}" y="46" width="18" height="12" fill="{fill}"/><text x="{at + 24:.0f}" y="56">{name}</text>'
        )
        at += 44.0 + 7.0 * len(name)
    parts.append(
        f'<path d="M{at + 6:.0f},58l-5,-9h10z" fill="#dc2626"/><text x="{at + 18:.0f}" y="56">a conflict, before</text>'
    )
    return "".join(parts)


def _axis(first: float, last: float, scale: float, height: float) -> str:
    step = next((s for s in _STEPS_S if (last - first) / s <= 12), _STEPS_S[-1])
    bottom = height - _BOTTOM_PX + 8.0
    parts = []
    for number in range(math.floor((last - first) / step) + 1):
        at = _LEFT_PX + number * step * scale
        minutes, seconds = divmod(number * step, 60)
        parts.append(
            f'<line x1="{at:.1f}" y1="{_TOP_PX - 10:.0f}" x2="{at:.1f}" y2="{bottom:.0f}" stroke="#e5e7eb"/>'
            f'<text x="{at:.1f}" y="{bottom + 16:.0f}" text-anchor="middle">{minutes}:{seconds:02d}</text>'
        )
    parts.append(f'<text x="{_LEFT_PX:.0f}" y="{bottom + 34:.0f}">minutes after the first start</text>')
    return "".join(parts)


def _phases(trajectory: Trajectory) -> list[tuple[Phase, float, float]]:
    """Runs of one phase: (phase, from, to) in seconds after the start."""
    runs: list[tuple[Phase, float, float]] = []
    for number, phase in enumerate(trajectory.phase.tolist()):
        begin, end = float(trajectory.time_s[number]), float(trajectory.time_s[number + 1])
        if runs and runs[-1][0] == phase:
            runs[-1] = (runs[-1][0], runs[-1][1], end)
        else:
            runs.append((Phase(phase), begin, end))
    return runs
