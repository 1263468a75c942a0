# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service is killed (-9) while a vehicle flies; the next one adopts the flight from journal and state."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fleet_site import PATIENCE_S, WORLDS, landed, phase, running_fleet, steps, until, world

from dronectl.fleet.commands import CommandKind
from dronectl.fleet.fleet import FlightRefusedError
from dronectl.fleet.link import LandedState
from dronectl.fleet.sortie_types import Phase
from dronectl.store import Store
from dronectl.store.models import MissionRow
from missions.model import OutcomeKind


@asynccontextmanager
async def service_killed_at(folder: Path, phase_name: str, reached: int = 0, laps: int = 2):
    """A service in a process of its own that flies; killed when its sortie has come so far. Yields the sortie id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("fleet_driver.py")),
        str(folder),
        str(laps),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = (await process.stdout.readline()).decode().split()
                assert line, "the service ended by itself"
                if line[1] == phase_name and int(line[2]) >= reached:
                    break
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    yield line[0]


@pytest.mark.parametrize("kind", WORLDS)
async def test_killed_in_flight_the_next_service_adopts_and_it_lands(kind, tmp_path, pytestconfig):
    async with world(kind, pytestconfig, tmp_path) as site:
        async with service_killed_at(tmp_path, "flying", reached=1, laps=8) as sortie_id, running_fleet(site) as fleet:
            assert fleet.sorties.value[sortie_id].phase is Phase.LOST_LINK
            flying = await phase(fleet, sortie_id, Phase.FLYING)
            assert not flying.may_arm
            with pytest.raises(FlightRefusedError):
                await fleet.fly(site.plan("d1"), actor="pilot", reason="too early")
            await until(lambda: fleet.sorties.value[sortie_id].known, "the mission aboard is recognised")
            result = await fleet.command(CommandKind.RETURN, "d1", actor="pilot", reason="test", timeout_s=60.0)
            assert result.confirmed, result
            sortie = await landed(fleet, sortie_id)
            assert sortie.outcome is not None
            assert sortie.outcome.kind is OutcomeKind.PARTIAL
            assert 1 <= sortie.outcome.items_done < 24
        journal = await steps(site, sortie_id)
        assert journal.count("arm") == journal.count("start") == 1
        assert journal[-1] == "ended"
        async with Store.open(site.folder / "site.db", "test-site") as store, store.reader() as session:
            mission = await session.get(MissionRow, ("test-site", "m1"))
            assert mission is not None
            assert (mission.outcome_kind, mission.items_done) == ("partial", sortie.outcome.items_done)


@pytest.mark.parametrize("kind", WORLDS)
async def test_killed_before_arming_stays_on_the_ground(kind, tmp_path, pytestconfig):
    async with (
        world(kind, pytestconfig, tmp_path) as site,
        service_killed_at(tmp_path, "uploading") as sortie_id,
        running_fleet(site) as fleet,
    ):
        sortie = fleet.sorties.value[sortie_id]
        assert sortie.phase is Phase.FAILED
        await until(lambda: fleet.states.value["d1"].landed is not LandedState.UNKNOWN, "the vehicle is heard")
        await asyncio.sleep(1.0)
        state = fleet.states.value["d1"]
        assert state.armed is False
        assert state.landed is LandedState.ON_GROUND
