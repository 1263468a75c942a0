# SPDX-License-Identifier: AGPL-3.0-or-later
"""An alert as text for people: what, how bad, where, how sure, why, who is near. Pure."""

from __future__ import annotations

from rich.text import Text

from dronectl.bus.messages import Alert, AlertPhase, Level
from dronectl.plain_text import clean

STYLES = {
    Level.GREY: "white on grey37",
    Level.BLUE: "bold white on blue",
    Level.YELLOW: "bold black on yellow",
    Level.ORANGE: "bold black on dark_orange",
    Level.RED: "bold white on red",
}


def card(alert: Alert) -> Text:
    """A few lines with colour."""
    text = Text()
    head = f" {alert.level.upper()} "
    text.append(head, style=STYLES[alert.level])
    text.append(f" {clean(alert.kind)}", style="bold")
    text.append(f"  {_phase(alert)}")
    if alert.site_status != "actual":
        text.append(f"  [{alert.site_status}]", style="italic")
    text.append(f"\n  where   {_where(alert)}")
    why = alert.why
    text.append(
        f"\n  why     {clean(why.reason)} (rule {clean(why.rule_id)}), confidence {why.confidence:.2f}, "
        + (
            f"seen in {why.looks} of {why.chances} frames by {clean(', '.join(why.vehicles or why.cameras))}"
            if why.chances
            else "by rules over several looks"
        )
    )
    for event in alert.events:
        facts = ", ".join(
            f"{clean(f.name)} {f.value:.3g}{' ' + clean(f.unit) if f.unit else ''}"
            + ("" if f.bound is None else f" (rule: {f.bound:g})")
            for f in event.facts
        )
        where = f" in {clean(event.area)}" if event.area else ""
        over = ", over" if event.ended else ""
        text.append(f"\n  event   {clean(event.rule)}{where}{over}: {facts}")
    if alert.evidence:
        text.append(f"\n  look    {clean(alert.evidence[0].href or alert.evidence[0].path)}")
    if alert.responders:
        near = alert.responders[0]
        text.append(f"\n  nearest {clean(near.name)}, {near.distance_m:.0f} m as the crow flies (a person decides)")
    if alert.last_action is not None:
        said = alert.last_action
        outcome = f", refused: {clean(said.refused)}" if said.refused else ""
        text.append(f"\n  last    {said.action} by {clean(said.by)}{outcome}")
    text.append(f"\n  id      {clean(alert.alert_id)} message {alert.sequence}\n", style="dim")
    return text


def _phase(alert: Alert) -> str:
    seen = alert.observed_at.strftime("%H:%M:%S UTC")
    if alert.phase is AlertPhase.NEW:
        return f"new, seen at {seen}"
    if alert.phase is AlertPhase.UPDATE:
        return f"update ({alert.state}), first seen at {seen}"
    return f"ended: {alert.end_reason}" + (f", {clean(alert.outcome)}" if alert.outcome else "")


def _where(alert: Alert) -> str:
    place = alert.location
    if place is None:
        return clean(alert.location_missing or "unknown")
    e = place.ellipse_95
    areas = f" in {clean(', '.join(alert.places))}" if alert.places else ""
    return (
        f"{place.latitude_deg:.6f}, {place.longitude_deg:.6f}{areas}, "
        f"95 % within {e.semi_major_m:.1f} x {e.semi_minor_m:.1f} m"
    )
