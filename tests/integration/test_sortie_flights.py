# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whole flights on the simulator: as planned, held and resumed, aborted, and with the link lost."""

from __future__ import annotations

from fleet_site import landed, phase, running_fleet, simulated, until

from dronectl.fleet.commands import CommandKind
from dronectl.fleet.link import FlightMode
from dronectl.fleet.sortie_types import Phase
from missions.model import OutcomeKind


async def test_a_flight_as_planned(tmp_path):
    async with simulated(tmp_path) as (site, _), running_fleet(site) as fleet:
        sortie_id = await fleet.fly(site.plan("d1"), actor="pilot", reason="test")
        seen = []
        async for sorties in fleet.sorties.changes():
            sortie = sorties[sortie_id]
            if not seen or seen[-1] is not sortie.phase:
                seen.append(sortie.phase)
            if sortie.ended:
                break
        assert sortie.outcome is not None
        assert sortie.outcome.kind is OutcomeKind.COMPLETED, (sortie.note, sortie.findings, seen)
        assert (sortie.outcome.items_done, sortie.outcome.items_total) == (3, 3)
        assert sortie.failsafe is None
        order = [Phase.PREFLIGHT, Phase.UPLOADING, Phase.READY, Phase.ARMING, Phase.TAKING_OFF, Phase.FLYING]
        assert [p for p in seen if p in order] == order
        assert seen[-1] is Phase.LANDED
        assert Phase.RETURNING in seen


async def test_hold_resume_and_return(tmp_path):
    async with simulated(tmp_path) as (site, _), running_fleet(site) as fleet:
        sortie_id = await fleet.fly(site.plan("d1", reach_m=150.0, laps=4), actor="pilot", reason="test")
        await phase(fleet, sortie_id, Phase.FLYING)
        held = await fleet.command(CommandKind.HOLD, "d1", actor="pilot", reason="look", timeout_s=60.0)
        assert held.ok and held.confirmed, held  # noqa: PT018  # one result
        assert held.state is not None
        assert held.state.mode is FlightMode.HOLD
        await phase(fleet, sortie_id, Phase.PAUSED)
        resumed = await fleet.command(CommandKind.RESUME, "d1", actor="pilot", reason="go on", timeout_s=60.0)
        assert resumed.confirmed, resumed
        await phase(fleet, sortie_id, Phase.FLYING)
        back = await fleet.command(CommandKind.RETURN, "d1", actor="pilot", reason="enough", timeout_s=60.0)
        assert back.confirmed, back
        await phase(fleet, sortie_id, Phase.RETURNING, Phase.LANDING, Phase.LANDED)
        sortie = await landed(fleet, sortie_id)
        assert sortie.outcome is not None
        assert sortie.outcome.kind is not OutcomeKind.COMPLETED
        assert sortie.failsafe is None


async def test_abort_during_the_upload_keeps_it_on_the_ground(tmp_path):
    # The endurance lets a plan with 450 waypoints pass the check of its battery.
    async with simulated(tmp_path) as (site, _), running_fleet(site, endurance_s=36_000.0) as fleet:
        sortie_id = await fleet.fly(site.plan("d1", laps=150), actor="pilot", reason="test")
        await phase(fleet, sortie_id, Phase.UPLOADING)
        result = await fleet.command(CommandKind.ABORT, "d1", actor="pilot", reason="wrong plan", timeout_s=60.0)
        assert result.ok, result
        sortie = await fleet.wait(sortie_id)
        assert sortie.phase is Phase.FAILED
        assert sortie.outcome is not None
        assert sortie.outcome.kind is OutcomeKind.ABORTED
        state = fleet.states.value["d1"]
        assert state.armed is False
        # The vehicle is free again and flies the next plan.
        again = await fleet.fly(site.plan("d1"), actor="pilot", reason="the right plan")
        await phase(fleet, again, Phase.TAKING_OFF, Phase.FLYING)
        await fleet.command(CommandKind.LAND, "d1", actor="pilot", reason="test", timeout_s=60.0)
        await landed(fleet, again)


async def test_lost_link_returns_by_failsafe_and_nothing_resumes(tmp_path):
    async with simulated(tmp_path) as (site, simulator), running_fleet(site) as fleet:
        sortie_id = await fleet.fly(site.plan("d1", reach_m=150.0, laps=10), actor="pilot", reason="test")
        await phase(fleet, sortie_id, Phase.FLYING)
        await simulator.tell(cut="d1")
        lost = await phase(fleet, sortie_id, Phase.LOST_LINK)
        assert lost.lost_from is Phase.FLYING
        await until(lambda: not fleet.states.value["d1"].connected, "the state says that the link is lost")
        await simulator.tell(restore="d1")
        sortie = await landed(fleet, sortie_id)
        assert sortie.failsafe is not None
        assert sortie.outcome is not None
        assert sortie.outcome.kind is not OutcomeKind.COMPLETED
