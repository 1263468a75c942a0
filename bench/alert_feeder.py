# SPDX-License-Identifier: AGPL-3.0-or-later
"""A site's alert path in a process of its own, fed with numbered sightings: what bench and tests kill and restart.

`python bench/alert_feeder.py DATABASE BROKER_JSON TOTAL [PER_SECOND]`. Vision would go on seeing a thing whose alert
was not yet committed when the service was killed; so a restarted feeder hands in again whatever has no alert. Prints
`fed` when all have one, and ends with 0 when dispatch has acknowledged everything.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from sqlalchemy import select

from dronectl.alerts.model import AlertSite, Responder
from dronectl.alerts.rules import DEFAULT_RULES
from dronectl.alerts.service import AlertService
from dronectl.bus.client import Bus
from dronectl.bus.settings import BusSettings, access_from_file
from dronectl.store import Store
from dronectl.store.models import AlertRow
from missions.model import Modality
from vision.sighting import Evidence, GroundEllipse, Kind, Phase, Sighting

SITE_ID = "lidu"
PER_MISSION = 50


def sighting(number: int) -> Sighting:
    """Thing `number`: 100 m from its neighbours, with one evidence picture that names it."""
    place = GroundEllipse(29.7 + (number % PER_MISSION) * 1e-3, 107.3, 250.0, 4.0, 1.0, 4.0, 1.0, 0.0, 1.0)
    return Sighting(
        track_id=f"track-{number}",
        sequence=1,
        phase=Phase.NEW,
        kind=Kind.PERSON,
        confidence=0.8,
        modality=Modality.THERMAL,
        camera_id="d1-thermal",
        vehicle_id="d1",
        place=place,
        first_exposure_s=float(number),
        last_exposure_s=number + 0.5,
        confirmed_exposure_monotonic_s=time.monotonic(),
        looks=4,
        chances=5,
        rule="3 of 5",
        temperature_max_c=36.0,
        size_m=1.7,
        speed_m_s=0.0,
        detector="onnx people " + "a" * 64,
        evidence=(Evidence(f"crops/{number}.png", f"{number:064x}", 64, 64, "crop"),),
    )


async def raised(store: Store) -> set[int]:
    """Numbers of the things that have an alert in the database."""
    async with store.reader() as session:
        documents = await session.scalars(select(AlertRow.document).where(AlertRow.site_id == SITE_ID))
        return {int(Path(d["facts"]["evidence"][0]["path"]).stem) for d in documents}


async def feed(database: Path, broker: Path, total: int, per_second: float) -> None:
    async with Store.open(database, SITE_ID) as store, asyncio.TaskGroup() as group:
        bus = Bus(BusSettings(SITE_ID, "test", access_from_file(broker, "service"), session_id="feeder"))
        site = AlertSite(SITE_ID, "test", DEFAULT_RULES, responders=(Responder("post", "Post", 29.71, 107.3),))
        alerts = AlertService(store, bus, site)
        tasks = [group.create_task(bus.run()), group.create_task(alerts.run())]
        done = await raised(store)
        for number in range(total):
            if number not in done:
                await alerts.handle(sighting(number), mission_id=f"mission-{number // PER_MISSION}")
                if per_second:
                    await asyncio.sleep(1.0 / per_second)
        print("fed", flush=True)
        while await alerts.unacknowledged():  # noqa: ASYNC110  # asked of the database
            await asyncio.sleep(0.05)
        print(f"sent {alerts.publisher.sent}, of these again {alerts.publisher.sent_again}", flush=True)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    rate = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    asyncio.run(feed(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), rate))
