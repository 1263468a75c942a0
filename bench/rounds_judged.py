# SPDX-License-Identifier: AGPL-3.0-or-later
"""A standing patrol before the judges: what they are told of a round, and the round flown again and again."""

from dataclasses import replace

from missions.judge_patrol import RoundFlight, judge_rounds


def complaints(items, made, energies, swap_s):
    """What the judge of rounds says of one made round; items as its idleness is ordered, energies as its plans are."""
    flights = [
        RoundFlight(
            plan.vehicle_id,
            plan.start_after_s,
            energy.time_s,
            tuple((i, a) for w, a in zip(plan.waypoints, energy.arrival_s, strict=True) for i in w.serves),
        )
        for plan, energy in zip(made.plans, energies, strict=True)
    ]
    return judge_rounds(flights, made.period_s, swap_s, dict(zip(items, made.idleness_s, strict=True)))


def again(plans, period_s, rounds=3):
    """The plans of a round, flown so many times, each at its start."""
    return [replace(p, start_after_s=p.start_after_s + k * period_s) for k in range(rounds) for p in plans]
