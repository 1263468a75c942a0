# SPDX-License-Identifier: AGPL-3.0-or-later
"""A service to be killed: flies one plan on a site made by `fleet_site` and prints each phase as a line.

`python fleet_driver.py FOLDER LAPS`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fleet_site import SiteFiles, running_fleet


async def main(folder: Path, laps: int) -> None:
    site = SiteFiles.load(folder)
    async with running_fleet(site) as fleet:
        sortie_id = await fleet.fly(site.plan("d1", reach_m=100.0, laps=laps), actor="pilot", reason="test")
        async for sorties in fleet.sorties.changes():
            sortie = sorties[sortie_id]
            print(sortie_id, sortie.phase, sortie.waypoints_reached, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
