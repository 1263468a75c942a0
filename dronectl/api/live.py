# SPDX-License-Identifier: AGPL-3.0-or-later
"""The WebSocket of live state: a snapshot first, then vehicles that changed, sorties and alerts as they come.

A reader that does not take a message within SEND_TIMEOUT_S, or falls behind on alerts, is closed: it can come back
and start from a snapshot, and nobody else waits for it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from dronectl.operations.desk import Desk
from dronectl.streams import SlowReaderError

PERIOD_S = 0.5
SEND_TIMEOUT_S = 5.0
TRY_AGAIN_LATER = 1013


async def serve_live(websocket: WebSocket, desk: Desk) -> None:
    """One reader, until it leaves or falls behind."""
    await websocket.accept()
    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(_write(websocket, desk))
            await _until_left(websocket)
            writer.cancel()
    except* WebSocketDisconnect:
        pass
    except* (TimeoutError, SlowReaderError):
        await _close(websocket, "you fell behind; connect again for a snapshot")


async def _until_left(websocket: WebSocket) -> None:
    """Read and ignore what the reader says, so that its leaving is noticed."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return


async def _close(websocket: WebSocket, reason: str) -> None:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await websocket.close(TRY_AGAIN_LATER, reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return  # it is gone already


async def _send(websocket: WebSocket, message: dict[str, Any]) -> None:
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await websocket.send_text(orjson.dumps(message).decode())


async def _write(websocket: WebSocket, desk: Desk) -> None:
    with desk.alert_changes() as changes:
        sent: dict[str, Any] = {v["vehicle_id"]: v for v in desk.vehicles()}
        sorties = desk.sorties()
        alerts = await desk.alerts(200)
        await _send(
            websocket, {"type": "snapshot", "vehicles": list(sent.values()), "sorties": sorties, "alerts": alerts}
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(_write_state(websocket, desk, sent, sorties))
            async for alert in changes:
                await _send(websocket, {"type": "alert", "alert": desk.changed_alert(alert)})


async def _write_state(websocket: WebSocket, desk: Desk, sent: dict[str, Any], sorties: list[dict[str, Any]]) -> None:
    while True:
        await asyncio.sleep(PERIOD_S)
        now = {v["vehicle_id"]: v for v in desk.vehicles()}
        changed = [v for key, v in now.items() if _differs(sent.get(key), v)]
        flights = desk.sorties()
        if changed or flights != sorties:
            await _send(websocket, {"type": "state", "vehicles": changed, "sorties": flights})
        sent, sorties = now, flights


def _differs(sent: dict[str, Any] | None, now: dict[str, Any]) -> bool:
    """Whether more than a vehicle's age has changed. `sent` is not needed any more and takes the age of `now`."""
    if sent is None:
        return True
    sent["age_s"] = now["age_s"]
    return sent != now
