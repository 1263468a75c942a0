# SPDX-License-Identifier: AGPL-3.0-or-later
"""An alert as text for people: what, how bad, where, how sure, why, who is near.

In the language that is spoken (`dronectl/language.py`): closed words and figures by themselves, sentences of the
document where they are known. Names, and what people and rules of a site's own say, stay as they are.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from dronectl.bus.messages import Alert, AlertEvent, AlertPhase, EventFact, Level
from dronectl.language import known, name, tr
from dronectl.plain_text import clean
from dronectl.sentences import sentence

STYLES = {
    Level.GREY: "white on grey37",
    Level.BLUE: "bold white on blue",
    Level.YELLOW: "bold black on yellow",
    Level.ORANGE: "bold black on dark_orange",
    Level.RED: "bold white on red",
}
_LABEL_CELLS = 8


def card(alert: Alert) -> Text:
    """A few lines with colour."""
    text = Text()
    level = name("level", alert.level)
    text.append(f" {level.upper()} ", style=STYLES[alert.level])
    text.append(f" {clean(name('kind', alert.kind))}", style="bold")
    text.append(f"  {_phase(alert)}")
    if alert.site_status != "actual":
        text.append(f"  [{name('site status', alert.site_status)}]", style="italic")
    _line(text, name("card", "where"), _where(alert))
    _line(text, name("card", "why"), _why(alert))
    for event in alert.events:
        _line(text, name("card", "event"), _event(event))
    if alert.evidence:
        _line(text, name("card", "look"), clean(alert.evidence[0].href or alert.evidence[0].path))
    if alert.responders:
        near = alert.responders[0]
        words = tr(
            "{post}, {metres:.0f} m as the crow flies (a person decides)", post=clean(near.name), metres=near.distance_m
        )
        _line(text, name("card", "nearest"), words)
    if alert.last_action is not None:
        _line(text, name("card", "last"), _last(alert))
    number = tr("{alert} message {number}", alert=clean(alert.alert_id), number=alert.sequence)
    _line(text, name("card", "id"), number, style="dim")
    text.append("\n")
    return text


def _line(text: Text, label: str, words: str, style: str = "") -> None:
    """One line under the head; the words begin in one column, whatever the width of the letters."""
    text.append(f"\n  {label}{' ' * max(1, _LABEL_CELLS - cell_len(label))}{words}", style=style)


def _phase(alert: Alert) -> str:
    seen = alert.observed_at.strftime("%H:%M:%S UTC")
    if alert.phase is AlertPhase.NEW:
        return tr("new, seen at {time}", time=seen)
    state = name("state", alert.state)
    if alert.phase is AlertPhase.UPDATE:
        return tr("update ({state}), first seen at {time}", state=state, time=seen)
    reason = name("state", alert.end_reason) if alert.end_reason else str(alert.end_reason)
    if alert.outcome:
        return tr("ended: {reason}, {outcome}", reason=reason, outcome=clean(alert.outcome))
    return tr("ended: {reason}", reason=reason)


def _where(alert: Alert) -> str:
    place = alert.location
    if place is None:
        return clean(sentence(alert.location_missing or "") or tr("unknown"))
    e = place.ellipse_95
    spot = f"{place.latitude_deg:.6f}, {place.longitude_deg:.6f}"
    if alert.places:
        spot = tr("{spot} in {areas}", spot=spot, areas=clean(", ".join(alert.places)))
    doubt = tr("95 % within {major:.1f} x {minor:.1f} m", major=e.semi_major_m, minor=e.semi_minor_m)
    return tr("{spot}, {doubt}", spot=spot, doubt=doubt)


def _why(alert: Alert) -> str:
    why = alert.why
    seen = (
        tr(
            "seen in {looks} of {chances} frames by {who}",
            looks=why.looks,
            chances=why.chances,
            who=clean(", ".join(why.vehicles or why.cameras)),
        )
        if why.chances
        else tr("by rules over several looks")
    )
    return tr(
        "{reason} (rule {rule}), confidence {confidence:.2f}, {seen}",
        reason=clean(_reason(alert)),
        rule=clean(why.rule_id),
        confidence=why.confidence,
        seen=seen,
    )


def _reason(alert: Alert) -> str:
    """The rule's own words; known ones in the language that is spoken, without the figures that the event's line has."""
    reason = alert.why.reason
    if known("reason", reason):
        return name("reason", reason)
    areas = ", ".join(alert.places)
    thing = reason.removesuffix(f" in {areas}")
    if thing != reason and known("reason", thing):
        return tr("{reason} in {areas}", reason=name("reason", thing), areas=areas)
    event = next((e for e in alert.events if e.rule == alert.why.rule_id), None)
    if event is None or not known("happening", event.rule):
        return reason
    words = name("happening", event.rule)
    return words if event.area is None else tr("{reason} in {areas}", reason=words, areas=event.area)


def _event(event: AlertEvent) -> str:
    facts = name("mark", ", ").join(_fact(fact) for fact in event.facts)
    rule = name("rule", event.rule)
    where = tr("{rule} in {areas}", rule=clean(rule), areas=clean(event.area)) if event.area else clean(rule)
    return (
        tr("{event}, over: {facts}", event=where, facts=facts)
        if event.ended
        else tr("{event}: {facts}", event=where, facts=facts)
    )


def _fact(fact: EventFact) -> str:
    """One figure of an event; if it has no name here, it is shown as it is, unit and all."""
    label = name("fact", fact.name)
    translated = known("fact", fact.name)
    unit = name("unit", fact.unit) if translated else fact.unit
    figure = f"{clean(label)} {fact.value:.3g}{' ' + clean(unit) if unit else ''}"
    if fact.bound is None:
        return figure
    if not translated:
        return f"{figure} (rule: {fact.bound:g})"
    return tr("{figure} (rule: {bound:g})", figure=figure, bound=fact.bound)


def _last(alert: Alert) -> str:
    said = alert.last_action
    if said is None:
        return ""
    what = tr("{action} by {who}", action=name("alert action", said.action), who=clean(said.by))
    if not said.refused:
        return what
    why = clean(sentence(said.refused, owner=alert.owner))
    return tr("{action}, refused: {why}", action=what, why=why)
