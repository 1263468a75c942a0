# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whole flights, on the simulator and (`--px4 PATH`) on real PX4: as planned, held, aborted, with the link lost."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from fleet_site import PATIENCE_S, WORLDS, landed, phase, running_fleet, simulated, steps, until, world

from dronectl.fleet.commands import CommandKind
from dronectl.fleet.link import FlightMode
from dronectl.fleet.sortie_types import Phase
from dronectl.fleet.tracks import SPACING_S
from missions.geo import GeoPoint, distance_m
from missions.model import OutcomeKind


@pytest.mark.parametrize("kind", WORLDS)
async def test_flights_as_planned(kind, tmp_path, pytestconfig):
    order = [Phase.PREFLIGHT, Phase.UPLOADING, Phase.READY, Phase.ARMING, Phase.TAKING_OFF, Phase.FLYING]
    flown = []
    async with world(kind, pytestconfig, tmp_path) as site:
        async with running_fleet(site) as fleet:
            for _ in range(2):  # the second time with the progress and the mode of the first still about
                flown.append(await fleet.fly(site.plan("d1"), actor="pilot", reason="test"))
                sortie = await landed(fleet, flown[-1])
                assert sortie.outcome is not None
                assert sortie.outcome.kind is OutcomeKind.COMPLETED, (sortie.note, sortie.findings)
                assert (sortie.outcome.items_done, sortie.outcome.items_total) == (3, 3)
                assert sortie.failsafe is None
        for sortie_id in flown:  # the journal has every phase; who watches may miss a short one
            journal = await steps(site, sortie_id)
            assert list(dict.fromkeys(step for step in journal if step in order)) == order
            assert Phase.RETURNING in journal
            assert journal[-1] == "ended"


async def test_a_track_is_as_close_at_ten_times_the_speed_and_nobody_need_look_on(tmp_path):
    async with simulated(tmp_path) as (site, _), running_fleet(site, cameras=True) as fleet:
        plan = site.plan("d1")
        sortie_id = await fleet.fly(plan, actor="pilot", reason="test")
        await landed(fleet, sortie_id)
        places = fleet.track(sortie_id)
        apart_s = [b.vehicle_time_s - a.vehicle_time_s for a, b in itertools.pairwise(places)]
        assert min(apart_s) >= SPACING_S - 1e-6
        assert max(apart_s) < 2.5, apart_s  # looks of ours, twice a second, are five apart
        where = [GeoPoint(p.latitude_deg, p.longitude_deg) for p in places]
        for corner in (plan.home, *(w.position for w in plan.waypoints)):
            assert min(distance_m(corner, here) for here in where) < 10.0  # it flies that far in a second
        assert fleet.track(sortie_id, after_s=places[-3].vehicle_time_s) == places[-2:]
        again = await fleet.fly(plan, actor="pilot", reason="test")
        await until(lambda: bool(fleet.track(again)), "the track of the next flight")
        assert fleet.track(again)[0].vehicle_time_s > places[-1].vehicle_time_s
        assert fleet.track(sortie_id) == []
        await landed(fleet, again)


@pytest.mark.parametrize("kind", WORLDS)
async def test_hold_resume_return(kind, tmp_path, pytestconfig):
    async with world(kind, pytestconfig, tmp_path) as site, running_fleet(site) as fleet:
        sortie_id = await fleet.fly(site.plan("d1", reach_m=150.0, laps=4), actor="pilot", reason="test")
        await phase(fleet, sortie_id, Phase.FLYING)
        for order, mode, then in (
            (CommandKind.HOLD, FlightMode.HOLD, (Phase.PAUSED,)),
            (CommandKind.RESUME, FlightMode.MISSION, (Phase.FLYING,)),
            (CommandKind.RETURN, FlightMode.RETURN, (Phase.RETURNING, Phase.LANDING, Phase.LANDED)),
        ):
            result = await fleet.command(order, "d1", actor="pilot", reason="test", timeout_s=PATIENCE_S)
            assert result.ok, result
            assert result.confirmed, result
            assert result.state is not None
            assert result.state.mode is mode
            await phase(fleet, sortie_id, *then)
        sortie = await landed(fleet, sortie_id)
        assert sortie.outcome is not None
        assert sortie.outcome.kind is not OutcomeKind.COMPLETED
        assert sortie.failsafe is None


@pytest.mark.parametrize("kind", WORLDS)
async def test_abort_during_the_upload_keeps_it_on_the_ground(kind, tmp_path, pytestconfig):
    # The endurance lets a plan with 450 waypoints pass the check of its battery.
    async with world(kind, pytestconfig, tmp_path) as site, running_fleet(site, endurance_s=36_000.0) as fleet:
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
        again = await fleet.fly(site.plan("d1", laps=20), actor="pilot", reason="the right plan")
        launching = {Phase.ARMING, Phase.TAKING_OFF, Phase.FLYING}  # a busy machine may show us none but the last
        await until(lambda: fleet.sorties.value[again].phase in launching, "the launch")
        # Armed or about to be: calling it off now either keeps it down or brings it back.
        off = await fleet.command(CommandKind.ABORT, "d1", actor="pilot", reason="no", timeout_s=PATIENCE_S)
        assert off.ok, off
        sortie = await fleet.wait(again)
        assert sortie.outcome is not None
        assert sortie.outcome.kind is OutcomeKind.ABORTED
        assert fleet.states.value["d1"].armed is False


async def test_lost_link_returns_by_failsafe_and_nothing_resumes(tmp_path):
    # Six seconds of ours: no pause of a busy machine before the cut is taken for a lost link.
    async with simulated(tmp_path) as (site, simulator), running_fleet(site, link_loss_s=60) as fleet:
        sortie_id = await fleet.fly(site.plan("d1", reach_m=150.0, laps=10), actor="pilot", reason="test")
        await phase(fleet, sortie_id, Phase.FLYING)
        await simulator.tell(cut="d1")
        lost = await phase(fleet, sortie_id, Phase.LOST_LINK)
        assert lost.lost_from is Phase.FLYING
        await until(lambda: not fleet.states.value["d1"].connected, "the state says that the link is lost")
        async with asyncio.timeout(PATIENCE_S):
            while await simulator.mode("d1") != "return":  # what it waits for lies in another process
                await asyncio.sleep(0.1)
        await simulator.tell(restore="d1")
        sortie = await landed(fleet, sortie_id)
        assert sortie.failsafe is not None
        assert sortie.outcome is not None
        assert sortie.outcome.kind is not OutcomeKind.COMPLETED
