# SPDX-License-Identifier: AGPL-3.0-or-later
"""The site file as alerts see it: zones, responders, and the rules over what happens with their areas."""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import ZoneInfo

from shapely.geometry import LineString

from dronectl.alerts.model import EVENT_LEVELS, AlertSite, EventSite, Responder, Zone
from dronectl.alerts.rules import DEFAULT_RULES
from dronectl.bus.messages import Level
from dronectl.site import Site
from dronectl.site_areas import AreaModel, EventsModel, RuleModel, hours_of
from missions.geo import GeoPoint
from vision.events import Area, EventRules, RuleName
from vision.events import settings as rules

_SETTINGS: Final[dict[str, tuple[RuleName, type[Any]]]] = {
    "person_down": (RuleName.PERSON_DOWN, rules.PersonDown),
    "closed_area": (RuleName.CLOSED_AREA, rules.ClosedArea),
    "loitering": (RuleName.LOITERING, rules.Loitering),
    "crowd": (RuleName.CROWD, rules.Crowd),
    "keep_clear": (RuleName.KEEP_CLEAR, rules.KeepClear),
    "animal_on_road": (RuleName.ANIMAL_ON_ROAD, rules.AnimalOnRoad),
    "unattended_heat": (RuleName.UNATTENDED_HEAT, rules.UnattendedHeat),
    "fire_growing": (RuleName.FIRE_GROWING, rules.FireGrowing),
    "recheck": (RuleName.RECHECK, rules.Recheck),
}


def alert_site(site: Site) -> AlertSite:
    """Everything that alerts need of a site."""
    keep_out = [
        Zone(f"keep-out-{n}", f"keep-out {n + 1}", ring, frozenset({"keep_out"}))
        for n, ring in enumerate(site.fence.exclusion)
    ]
    schools = [Zone(s.line_id, s.name or s.line_id, s.path, frozenset({"school"})) for s in site.schools]
    return AlertSite(
        site_id=site.site_id,
        status=site.model.status.value,
        rules=DEFAULT_RULES,
        zones=(*keep_out, *schools, *(_zone(site, area) for area in site.model.areas)),
        responders=tuple(
            Responder(r.place_id, r.name or r.place_id, r.position.latitude_deg, r.position.longitude_deg)
            for r in site.responders
        ),
        timezone=ZoneInfo(site.model.timezone),
        evidence_base_url=f"http://{site.model.http.host}:{site.model.http.port}/api/v1/evidence/",
        events=event_site(site),
    )


def event_site(site: Site) -> EventSite:
    """The event rules and their areas. Keep-outs of the geofence are closed areas, grounds of schools are watched."""
    model = site.model.events
    areas = [_area(site, area) for area in site.model.areas]
    for number, ring in enumerate(site.fence.exclusion):
        name = f"keep-out {number + 1}"
        areas.append(Area(f"keep-out-{number}", name, _metres(site, ring), frozenset({"keep_out"})))
    for school in site.schools:
        ring_m = _metres(site, school.path)
        areas.append(Area(f"school-{school.line_id}", school.name or school.line_id, ring_m, frozenset({"school"})))
    levels = dict(EVENT_LEVELS)
    for field, (rule, _) in _SETTINGS.items():
        wanted: RuleModel = getattr(model, field)
        if wanted.level is not None:
            levels[rule] = Level(wanted.level)
    return EventSite(_rules(model), site.frame, tuple(areas), levels)


def _rules(model: EventsModel) -> EventRules:
    settings: dict[str, Any] = {}
    for field, (_, kind) in _SETTINGS.items():
        wanted: RuleModel = getattr(model, field)
        settings[field] = kind(**wanted.model_dump(exclude={"enabled", "level"})) if wanted.enabled else None
    return EventRules(version=model.version, **settings)


def _area(site: Site, area: AreaModel) -> Area:
    return Area(
        area_id=area.id,
        name=area.name or area.id,
        ring=_ring_m(site, area),
        tags=frozenset({area.use}),
        hours=tuple(hours_of(window) for window in area.hours),
        wait_s=area.wait_s,
        people=area.people,
    )


def _zone(site: Site, area: AreaModel) -> Zone:
    """The area as a named place. A closed area without hours is one for the rules about what a thing is, too."""
    ring = tuple(site.frame.to_geo(east, north) for east, north in _ring_m(site, area))
    tags = frozenset({"closed"}) if area.use == "closed" and not area.hours else frozenset[str]()
    return Zone(area.id, area.name or area.id, ring, tags)


def _ring_m(site: Site, area: AreaModel) -> tuple[tuple[float, float], ...]:
    if area.path is None:
        return _metres(site, tuple(site.to_point(p) for p in area.ring or ()))
    line = LineString(_metres(site, tuple(site.to_point(p) for p in area.path)))
    outline = line.buffer((area.width_m or 0.0) / 2.0, cap_style="flat", join_style="mitre", mitre_limit=2.0)
    return tuple((float(x), float(y)) for x, y in outline.exterior.coords[:-1])


def _metres(site: Site, ring: tuple[GeoPoint, ...]) -> tuple[tuple[float, float], ...]:
    return tuple(site.frame.to_enu(point) for point in ring)
