# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who answers on a vehicle's system id: its hardware uid, held against the configured one.

A system id is a number that anybody can set; the hardware uid is the autopilot's own. While another aircraft answers,
every request is refused, and what it says is not taken for this vehicle's.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Final

from dronectl.fleet.lanes import CallThreads
from dronectl.fleet.link import LinkError, LinkFailure, VehicleAddress
from dronectl.fleet.native import Native

log = logging.getLogger(__name__)

_STRANGER_RETRY_S: Final = 1.0
_UID_TRIES: Final = 10
_UID_RETRY_S: Final = 0.1


class Identity:
    """The proven identity of one vehicle."""

    def __init__(self, address: VehicleAddress, threads: CallThreads) -> None:
        self._address = address
        self._threads = threads
        self.hardware_uid: str | None = None  # the one that answered last
        self.refusal: LinkError | None = None  # while it is not the configured one

    async def prove(self, native: Native) -> None:
        """Return when the hardware uid is known and the configured one; never while it is another's."""
        loop = asyncio.get_running_loop()
        wanted = None if self._address.hardware_uid is None else self._address.hardware_uid.lower()
        for attempt in itertools.count(1):
            try:
                uid = await loop.run_in_executor(self._threads.ordinary, native.hardware_uid)
            except LinkError:  # AUTOPILOT_VERSION has not come yet
                if wanted is None and attempt == _UID_TRIES:
                    return
                await asyncio.sleep(_UID_RETRY_S)
                continue
            if self.hardware_uid not in {None, uid}:
                log.warning(
                    "%s: hardware uid %s answers, before it was %s", self._address.vehicle_id, uid, self.hardware_uid
                )
            self.hardware_uid = uid
            if wanted in {None, uid}:
                self.refusal = None
                return
            if self.refusal is None:
                self.refusal = LinkError(
                    LinkFailure.WRONG_VEHICLE,
                    f"{self._address.vehicle_id}: hardware uid {uid} answers as system {self._address.system_id} on "
                    f"{self._address.connection}, not the configured {wanted}",
                )
                log.error("%s", self.refusal)
            await asyncio.sleep(_STRANGER_RETRY_S)
