# SPDX-License-Identifier: AGPL-3.0-or-later
"""hold, return and land without the service: this program becomes a second ground station for a few seconds.

Only for when the service is down. Nothing is adopted, nothing is journalled; the vehicle's own state confirms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from dronectl.errors import UnavailableError
from dronectl.fleet.link import FlightMode, LinkError, VehicleLink, VehicleState
from dronectl.fleet.pool import LinkPool
from dronectl.operations.addresses import addresses
from dronectl.site import Drone
from dronectl.supervise import BudgetSpentError

_FIND_S: Final = 15.0
_CONFIRM_S: Final = 15.0
_POLL_S: Final = 0.1
_MODE: Final = {"hold": FlightMode.HOLD, "return": FlightMode.RETURN, "land": FlightMode.LAND}


async def order_directly(kind: str, drones: Sequence[Drone]) -> list[dict[str, Any]]:
    """Order every drone at once; each answer says whether its state confirmed the order.

    Raises UnavailableError when the process that holds the links does not stay up.
    """
    pool = LinkPool(addresses(drones), on_states=lambda _s: None, on_poses=lambda _p: None, on_report=lambda _r: None)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(pool.run())
            jobs = [group.create_task(_order(kind, pool.link(drone.drone_id))) for drone in drones]
            results = [await job for job in jobs]
            running.cancel()
    except BaseExceptionGroup as errors:
        spent = errors.subgroup(BudgetSpentError)
        if spent is None:
            raise
        raise UnavailableError(f"{_first(spent)}; `dronectl doctor` says what is missing") from None
    return results


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def _order(kind: str, link: VehicleLink) -> dict[str, Any]:
    result = {"vehicle_id": link.vehicle_id, "kind": kind, "ok": False, "confirmed": False, "detail": ""}
    result["connected"] = False
    try:
        await link.wait_connected(_FIND_S)
        result["connected"] = True
        if _on_ground(link.state()):
            return {**result, "ok": True, "confirmed": True, "detail": "it stands on the ground, disarmed"}
        await {"hold": link.hold, "return": link.return_to_launch, "land": link.land}[kind]()
        result["ok"] = True
    except LinkError as error:
        result["detail"] = f"{error.failure}: {error}"
    try:
        async with asyncio.timeout(_CONFIRM_S):
            while not _confirmed(kind, link.state()):  # noqa: ASYNC110  # a link's state has no event
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        return {**result, "detail": result["detail"] or f"its mode is {link.state().mode}"}
    return {**result, "confirmed": True, "detail": ""}


def _on_ground(state: VehicleState) -> bool:
    return state.armed is False and state.in_air is False


def _confirmed(kind: str, state: VehicleState) -> bool:
    return state.connected and (state.mode is _MODE[kind] or (kind != "hold" and _on_ground(state)))
