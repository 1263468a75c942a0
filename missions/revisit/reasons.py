# SPDX-License-Identifier: AGPL-3.0-or-later
"""Why something could not be kept, in words: a closed area, too far for a battery, or what every drone was doing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from missions.revisit.day import Craft, DayTask, Flight, Visit, Watch
from missions.revisit.flights import do_visit, fly
from missions.revisit.ways import Window


def why_visit(
    task: DayTask, flights: Sequence[Flight], visit: Visit, gap: Window, given_up: Sequence[Flight] = ()
) -> str:
    """Why nobody came to an item in a time. given_up: flights left out because they would have met others."""
    for flight in given_up:
        if any(s.item_id == visit.item_id and gap[0] < s.arrive_s < gap[1] for s in flight.stops):
            return (
                f"{flight.vehicle_id} stayed at its dock at {clock(flight.depart_s)}: it would have met another drone"
            )
    due = min(gap[0] + visit.interval_s, gap[1])
    closed = _closed(task, visit, gap)
    if closed:
        return closed
    far = _too_far(task, visit, due)
    if far:
        return far
    return _busy(task, flights, due, gap)


def why_gap(task: DayTask, flights: Sequence[Flight], watch: Watch, gap: Window) -> str:
    """Why nobody watched a place in a time."""
    need = [
        2.0 * out + craft.takeoff_s + craft.landing_s
        for craft in task.craft
        if math.isfinite(out := task.ways.travel_s(craft.dock, watch.place, gap[0]))
    ]
    if not need:
        return "no way leads there while areas below are closed"
    if min(need) + 2.0 * task.overlap_s > max(c.fly_s for c in task.craft):
        return (
            f"there and back takes {min(need):.0f} s and being relieved twice {2.0 * task.overlap_s:.0f} s, a battery lasts "
            f"{max(c.fly_s for c in task.craft):.0f} s"
        )
    return _busy(task, flights, gap[0], gap)


def _closed(task: DayTask, visit: Visit, gap: Window) -> str:
    """A reason if the item lies in, or can only be reached through, areas closed during all of the gap's end."""
    active = task.ways.closed_during(*gap)
    names = ", ".join(task.ways.closed[i].name for i in sorted(active))
    due = min(gap[0] + visit.interval_s, gap[1])
    if not task.ways.open_for(visit.path_m, due, due + visit.service_s):
        return f"it lies above {names}, closed at that hour"
    if all(not math.isfinite(task.ways.travel_s(c.dock, visit.entry, due)) for c in task.craft):
        return f"no way leads there while {names} is closed" if names else "no way leads there inside the fence"
    return ""


def _too_far(task: DayTask, visit: Visit, at_s: float) -> str:
    worst = ""
    for craft in task.craft:
        for flip in visit.ways:
            if fly(task, craft, at_s, [do_visit(visit, flip=flip)]) is not None:
                return ""
        out = task.ways.travel_s(craft.dock, visit.entry, at_s)
        need = 2.0 * out + visit.service_s + craft.takeoff_s + craft.landing_s
        if need > craft.fly_s:
            worst = f"a flight there takes {need:.0f} s, {need - craft.fly_s:.0f} s more than a battery lasts"
    return worst


def _busy(task: DayTask, flights: Sequence[Flight], at_s: float, gap: Window) -> str:
    if at_s <= task.hours[0] or gap[1] > task.hours[1]:
        return f"it lies at the edge of the patrol's hours ({clock(task.hours[0])} to {clock(task.hours[1])})"
    return "; ".join(_doing(task, craft, flights, at_s) for craft in task.craft)


def _doing(task: DayTask, craft: Craft, flights: Sequence[Flight], at_s: float) -> str:
    for flight in flights:
        if flight.vehicle_id != craft.vehicle_id:
            continue
        if flight.depart_s <= at_s < flight.landed_s:
            items = ", ".join(dict.fromkeys(s.item_id for s in flight.stops if s.kind in {flight.kind, "visit"}))
            return f"{craft.vehicle_id} on {flight.kind} ({items}) until {clock(flight.landed_s)}"
        if flight.landed_s <= at_s < flight.landed_s + task.swap_s:
            return f"{craft.vehicle_id} swapped its battery until {clock(flight.landed_s + task.swap_s)}"
    later = [f.depart_s for f in flights if f.vehicle_id == craft.vehicle_id and f.depart_s > at_s]
    until = f", its next flight at {clock(min(later))}" if later else ""
    return f"{craft.vehicle_id} at its dock{until}"


def clock(seconds: float) -> str:
    """Seconds of the day as hh:mm:ss; beyond midnight hours go on counting."""
    total = round(seconds)
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"
