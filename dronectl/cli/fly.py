# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl fly PLAN...`: one plan at once, or several as the set that they were planned as. Through the running service."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dronectl.cli.client import ServiceClient
from dronectl.cli.common import JsonOption, SiteOption, StateOption, err, open_site, print_json, say, site_state
from dronectl.cli.fly_set import FlySet, Ordered, worst_code
from dronectl.cli.spoken import LanguageOption
from dronectl.errors import EXIT_BAD_INPUT, EXIT_GOAL_MISSED, EXIT_UNAVAILABLE, BadInputError, UnavailableError
from dronectl.language import name, speak, tr
from dronectl.operations.planning import shared_return_layer
from dronectl.operations.start_texts import start_text
from dronectl.site import Site
from missions.energy import DatumError
from missions.errors import PlanError
from missions.formats.qgc_read import read_plan
from missions.model import FlightPlan
from missions.separation import check_separation

_COMMAND_TIMEOUT_S = 60.0


def fly(
    plans: Annotated[
        list[Path],
        typer.Argument(help=".plan files: ours, or one of QGroundControl's with --vehicle.", metavar="PLAN..."),
    ],
    vehicle: Annotated[
        str | None,
        typer.Option(
            "--vehicle", help="Which vehicle flies the plan; needed where the plan does not say it.", metavar="ID"
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the command log.")] = "ordered by the operator",
    override: Annotated[
        list[str] | None,
        typer.Option(help="Take a named preflight finding upon yourself; may be given several times.", metavar="CODE"),
    ] = None,
    override_reason: Annotated[str, typer.Option(help="Why the findings may be overridden; logged.")] = "",
    wait: Annotated[
        bool, typer.Option(help="Wait until it has landed. Without: return when the last plan is handed in.")
    ] = True,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    lang: LanguageOption = None,
) -> None:
    """Check plans, upload them, fly them and follow them until all have landed.

    One plan starts at once. Several, such as `plans/*.plan` of one `dronectl plan`, start as far apart as they were
    planned to, which keeps them apart in the air: each is handed in when those before it have taken off, and one that
    leaves late shifts all that come after it. One that is refused or fails on the ground shifts nobody. While one holds
    in the air or its link is lost, nobody else starts. Ctrl-C: what is not handed in stays on the ground; nothing is
    ordered to what flies.

    Preflight compares what was uploaded with what the vehicle read back, and refuses (exit code 2) with named
    findings. Exit code 1 if a flight did not complete its plan, 3 if nothing is heard of the vehicle (of several: of
    all that did not complete theirs).
    """
    speak(lang)
    if override and not override_reason.strip():
        raise BadInputError("--override needs --override-reason: it is logged with your order")
    opened = open_site(site)
    orders = [_single(plans[0], vehicle)] if len(plans) == 1 else _set_of(opened, plans, vehicle)
    client = ServiceClient(site_state(opened, state), timeout_s=_COMMAND_TIMEOUT_S)
    common: dict[str, Any] = {"reason": reason}
    if override:
        common["override"] = {"codes": override, "reason": override_reason}
    if not as_json:
        _say_starts(orders)
    flown = FlySet(client, orders, common, quiet=as_json)
    try:
        flown.run(wait=wait)
    except KeyboardInterrupt:
        for line in flown.left_behind():
            err.print(line, markup=False)
        if as_json:
            _print_known(flown)
        raise typer.Exit(EXIT_GOAL_MISSED) from None
    except UnavailableError:
        if as_json:
            _print_known(flown)
        raise
    if as_json:
        _print_known(flown)
    code, refusals = worst_code(flown.results, waited=wait), [r.refusal for r in flown.results if r.refusal]
    if code == EXIT_UNAVAILABLE:
        raise UnavailableError(name("mark", "; ").join(refusals))
    if code == EXIT_BAD_INPUT:
        raise BadInputError("\n".join(refusals))
    for refusal in refusals:
        err.print(refusal, markup=False)
    if code:
        raise typer.Exit(code)


def _print_known(flown: FlySet) -> None:
    """What is known of each flight, for machines; nothing of one that was not taken, for its line says it all."""
    shown = [r.document() for r in flown.results]
    if len(shown) > 1 or flown.results[0].asked:
        print_json(shown if len(shown) > 1 else shown[0])


def _say_starts(orders: Sequence[Ordered]) -> None:
    first, *others = sorted(orders, key=lambda o: o.start_after_s)
    if others:
        begin = first.start_after_s
        rest = ", ".join(f"{o.vehicle_id} {start_text(o.start_after_s - begin)}" for o in others)
        say(tr("{first} starts now, then {rest} after its take-off", first=first.vehicle_id, rest=rest))
    elif first.start_after_s > 0.0:
        after = start_text(first.start_after_s).removeprefix("+")
        say(
            tr(
                "{vehicle} was planned to start {after} after its set; flown alone it starts now",
                vehicle=first.vehicle_id,
                after=after,
            )
        )


def _single(file: Path, vehicle: str | None) -> Ordered:
    """One plan, as the service will read it. Only what our own object says of vehicle and start is looked at here."""
    document = read_document(file)
    ours = document.get("dronectl") if isinstance(document, dict) else None
    ours = ours if isinstance(ours, dict) else {}
    who = vehicle or ours.get("vehicle_id")
    if not isinstance(who, str):
        raise BadInputError(f"{file}: does not say which vehicle it is for; name the vehicle with --vehicle")
    start = ours.get("start_after_s")
    return Ordered(file, document, who, float(start) if isinstance(start, int | float) else 0.0)


def _set_of(site: Site, files: Sequence[Path], vehicle: str | None) -> list[Ordered]:
    """All plans of a set, read and held against each other before the first is handed in. Raises BadInputError."""
    if vehicle is not None:
        raise BadInputError("--vehicle names the vehicle of one plan; of several each must say its own")
    orders: list[Ordered] = []
    plans: list[FlightPlan] = []
    for file in files:
        document = read_document(file)
        if not isinstance(document, dict) or "dronectl" not in document:
            raise BadInputError(
                f"{file}: does not say which vehicle it is for; fly it alone, with --vehicle, or plan it with dronectl"
            )
        try:
            plan = read_plan(json.dumps(document), source=str(file))
            site.drone(plan.vehicle_id)
        except PlanError as error:
            raise BadInputError(str(error)) from error
        except BadInputError as error:
            raise BadInputError(f"{file}: {error}") from error
        for other in orders:
            if other.vehicle_id == plan.vehicle_id:
                raise BadInputError(
                    f"{file}: is for {plan.vehicle_id}, as {other.file} is: one battery does not fly both; fly the "
                    "second when the first has landed and the battery is swapped"
                )
        if shared_return_layer(site, plan, plans) is not None:
            raise BadInputError(
                f"{file}: would return at {plan.return_height_m:.0f} m, too near the return height of another of these "
                "plans: if the site were lost they would meet; separate them together (`dronectl plan separate`)"
            )
        orders.append(Ordered(file, document, plan.vehicle_id, plan.start_after_s))
        plans.append(plan)
    _refuse_meeting(site, orders, plans)
    return orders


def _refuse_meeting(site: Site, orders: Sequence[Ordered], plans: Sequence[FlightPlan]) -> None:
    try:
        breaches = check_separation(plans, site.limits)
    except DatumError as error:
        raise BadInputError(f"the plans cannot be held against each other ({error}); fly them one by one") from error
    if breaches:
        lines = [f"  {orders[b.first].file}, {orders[b.second].file}: {b.finding.message}" for b in breaches]
        raise BadInputError("\n".join(["these plans are no set that keeps apart:", *lines]))


def read_document(file: Path) -> Any:
    """A plan file as JSON. Raises BadInputError, one line with the file."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"), parse_constant=_no_number, parse_float=_number)
    except OSError as error:
        raise BadInputError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{file}: is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise BadInputError(f"{file}:{error.lineno}: is not a plan: {error.msg}") from error
    except ValueError as error:
        raise BadInputError(f"{file}: is not a plan: {error}") from error
    except RecursionError:
        raise BadInputError(f"{file}: is not a plan: it is nested too deep") from None


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is no number here; QGroundControl writes null")


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)
