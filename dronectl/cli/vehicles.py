# SPDX-License-Identifier: AGPL-3.0-or-later
"""Commands about vehicles: list them, hold, return, land. They go through the running service; `fly` is in `fly.py`.

hold, return and land also work with --direct when the service is down; then this program is a second ground station,
and says so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dronectl.cli.client import ServiceClient, ServiceLostError
from dronectl.cli.common import JsonOption, SiteOption, StateOption, err, open_site, out, print_json, say, site_state
from dronectl.cli.spoken import LanguageOption, notice_line, outcome_line
from dronectl.errors import EXIT_GOAL_MISSED, BadInputError, UnavailableError
from dronectl.language import Language, name, speak, tr
from dronectl.sentences import sentence

_COMMAND_TIMEOUT_S = 60.0
_ENDED = ("landed", "failed")


def vehicles(
    site: SiteOption = None, state: StateOption = None, as_json: JsonOption = False, lang: LanguageOption = None
) -> None:
    """List the vehicles and what is known of each.

    Below the table: who in flight is off its way or height, makes no progress or is late, and what you can do. Nothing
    is done about that by itself.
    """
    speak(lang)
    there = ServiceClient(site_state(open_site(site), state)).get("/api/v1/vehicles")
    if as_json:
        print_json(there)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("vehicle", "link", "mode", "armed", "height", "battery", "sortie"):
        table.add_column(name("column", column))
    for v in there:
        link = "up" if v["connected"] else "lost" if v["age_s"] is not None else "never heard"
        marked = f"[red]{name('link', link)}[/red]" if link == "lost" else name("link", link)
        height = "?" if v["height_above_home_m"] is None else f"{v['height_above_home_m']:z.0f} m"
        battery = "?" if v["battery_fraction"] is None else f"{100 * v['battery_fraction']:.0f} %"
        armed = {True: "armed", False: "disarmed", None: "?"}[v["armed"]]
        mode, sortie = name("mode", v["mode"]), name("phase", v["sortie_state"] or "-")
        table.add_row(v["vehicle_id"], marked, mode, name("armed", armed), height, battery, sortie)
    out.print(table)
    for v in there:
        for notice in v["notices"]:
            out.print(notice_line(v["vehicle_id"], notice), style="yellow", markup=False)
    for v in there:
        if count := v["refused_or_lost_datagrams"]:
            said = tr(
                "{vehicle}: {count} datagrams at its door were no MAVLink, or too many",
                vehicle=v["vehicle_id"],
                count=count,
            )
            out.print(said, markup=False)


VehicleArgument = Annotated[str | None, typer.Argument(help="Vehicle id.", metavar="ID")]
AllOption = Annotated[bool, typer.Option("--all", help="Every vehicle of the site.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it goes into the command log.")]
DirectOption = Annotated[
    bool,
    typer.Option("--direct", help="Without the service, as a second ground station. Only when the service is down."),
]


def hold(
    vehicle: VehicleArgument = None,
    every: AllOption = False,
    reason: ReasonOption = "ordered by the operator",
    direct: DirectOption = False,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    lang: LanguageOption = None,
) -> None:
    """Stop where it is and hold there. Done when the vehicle's own state shows it."""
    _order("hold", vehicle, every, reason, direct, site, state, as_json, lang)


def return_(
    vehicle: VehicleArgument = None,
    every: AllOption = False,
    reason: ReasonOption = "ordered by the operator",
    direct: DirectOption = False,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    lang: LanguageOption = None,
) -> None:
    """Fly home at the return height and land. Done when the vehicle's own state shows that it is returning."""
    _order("return", vehicle, every, reason, direct, site, state, as_json, lang)


def land(
    vehicle: VehicleArgument = None,
    every: AllOption = False,
    reason: ReasonOption = "ordered by the operator",
    direct: DirectOption = False,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    lang: LanguageOption = None,
) -> None:
    """Land where it is. Done when the vehicle's own state shows that it is landing."""
    _order("land", vehicle, every, reason, direct, site, state, as_json, lang)


def abandon(
    vehicle: Annotated[str, typer.Argument(help="Vehicle id.", metavar="ID")],
    reason: Annotated[str, typer.Option(help="Why you know that it will not come back; logged.")],
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    lang: LanguageOption = None,
) -> None:
    """Close the sortie of a vehicle that is not heard of any more: crashed, stolen, sunk.

    Until then the service waits for it, also after a restart, and its mission stays open. Nothing is sent to the
    vehicle; should it be heard again, hold, return and land work. Refused (exit code 2) while the vehicle is heard.
    """
    speak(lang)
    if not reason.strip():
        raise BadInputError("--reason says nothing; it is logged, and stays with the outcome of the flight")
    opened = open_site(site)
    opened.drone(vehicle)
    client = ServiceClient(site_state(opened, state), timeout_s=_COMMAND_TIMEOUT_S)
    flying = [s for s in client.get("/api/v1/sorties") if s["vehicle_id"] == vehicle and s["state"] not in _ENDED]
    if not flying:
        raise BadInputError(tr("{vehicle} has no sortie under way", vehicle=vehicle))
    closed = client.post(f"/api/v1/sorties/{flying[-1]['sortie_id']}/abandon", {"reason": reason})
    if as_json:
        print_json(closed)
    else:
        say(tr("{vehicle}: {line}", vehicle=vehicle, line=outcome_line(closed, reason)))


def _order(
    kind: str,
    vehicle: str | None,
    every: bool,
    reason: str,
    direct: bool,
    site_file: Path | None,
    state_dir: Path | None,
    as_json: bool,
    lang: Language | None,
) -> None:
    speak(lang)
    if (vehicle is None) == (not every):
        raise BadInputError(tr("say which vehicle: `dronectl {kind} ID`, or `dronectl {kind} --all`", kind=kind))
    site = open_site(site_file)
    folder = site_state(site, state_dir)
    if vehicle is not None:
        site.drone(vehicle)
    if direct:
        from dronectl.operations.direct import order_directly

        try:
            ServiceClient(folder, timeout_s=2.0).get("/health")
        except UnavailableError:
            pass
        else:
            raise BadInputError(tr("the service is running: leave out --direct, so that its log knows of the order"))
        said = tr("second ground station: the service is down, this order is in nobody's log but the vehicle's")
        err.print(said, style="yellow", markup=False)
        wanted = [site.drone(vehicle)] if vehicle else list(site.drones)
        results: list[dict[str, Any]] = asyncio.run(order_directly(kind, wanted))
    else:
        body = {"kind": kind, "reason": reason}
        path = f"/api/v1/vehicles/{vehicle}/commands" if vehicle else "/api/v1/commands"
        try:
            answer = ServiceClient(folder, timeout_s=_COMMAND_TIMEOUT_S).post(path, body)
        except ServiceLostError as error:
            if as_json and error.asked:
                asked = [vehicle] if vehicle else [drone.drone_id for drone in site.drones]
                print_json([_unknown(one, kind, error.what) for one in asked])
            parts = [error.what]
            if error.asked:
                parts.append(tr("whether the order was carried out is not known"))
            parts.append(
                tr(
                    "`dronectl {kind} {who} --direct` orders it without the service, or start `dronectl up` and order again",
                    kind=kind,
                    who=vehicle or "--all",
                )
            )
            raise UnavailableError(name("mark", "; ").join(parts)) from error
        results = answer if isinstance(answer, list) else [answer]
    if as_json:
        print_json(results)
    else:
        for result in results:
            word, colour = ("done", "green") if result["confirmed"] else ("not confirmed", "red")
            mark = f"[{colour}]{name('order result', word)}[/]"
            out.print(
                tr("{vehicle}: {order} {mark}", vehicle=result["vehicle_id"], order=name("order", kind), mark=mark),
                end=" ",
            )
            say(sentence(result["detail"]))
    missed = [result for result in results if not result["confirmed"]]
    if missed and not any(result["connected"] for result in missed):
        who = ", ".join(r["vehicle_id"] for r in missed)
        raise UnavailableError(tr("no vehicle there: nothing is heard of {who}", who=who))
    if missed:
        raise typer.Exit(EXIT_GOAL_MISSED)


def _unknown(vehicle: str, kind: str, what: str) -> dict[str, Any]:
    """An order of which nobody here knows whether it was carried out."""
    rest = {"ok": None, "confirmed": False, "detail": f"not known: {what}", "connected": None}
    return {"command_id": None, "vehicle_id": vehicle, "kind": kind, **rest}
