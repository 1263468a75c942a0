# SPDX-License-Identifier: AGPL-3.0-or-later
"""Garbage on the MAVLink door while the vehicle flies: counted, bounded, and of no consequence."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymavlink.dialects.v20 import common as mavlink

from contract import plans
from contract.conftest import Craft
from dronectl.fleet.link import FlightMode, LandedState
from missions.geo import destination
from tests.unit.fleet.knocker import may_come_in

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(300)]

_COUNT = 6000
_SEED = 11


async def test_garbage_is_counted_and_the_flight_goes_on(own_craft: Craft) -> None:
    """Noise, cut and huge datagrams, foreign frames, wrong checksums: the worker lives, stays small, and the vehicle is still held."""
    craft = own_craft
    garbage = list(_garbage(craft.address.system_id))
    hopeless = sum(not may_come_in(datagram) for datagram in garbage)
    assert 0.99 * _COUNT < hopeless <= _COUNT  # noise may by chance be a message that we do not know
    await craft.airborne(plans.mission(craft.home, [destination(craft.home, 0.0, metres) for metres in (30.0, 900.0)]))
    assert craft.refused_or_lost == 0  # nothing that an autopilot sends is taken for garbage
    worker = next(iter(craft.pool.worker_pids.values()))
    before_kb = _resident_kb(worker)
    port = int(craft.address.connection.rsplit(":", 1)[1])
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(20)]
        for n, datagram in enumerate(garbage):
            strangers[n % len(strangers)].sendto(datagram, ("127.0.0.1", port))
            if n % 50 == 49:
                await asyncio.sleep(0.02)
    await craft.until("the count", lambda _s: (craft.refused_or_lost or 0) >= hopeless)
    assert craft.refused_or_lost <= _COUNT
    assert craft.state.connected
    assert craft.state.armed
    assert craft.state.landed is LandedState.IN_AIR
    assert craft.state.mode is FlightMode.MISSION
    assert craft.state.system_id == craft.address.system_id
    assert "forged" not in {s.last_text for s in craft.history}
    assert await craft.link.get_param("RTL_RETURN_ALT") == 12.0
    await craft.link.hold()
    await craft.until("hold", lambda s: s.mode is FlightMode.HOLD)
    await craft.link.return_to_launch()
    await craft.landed()
    assert next(iter(craft.pool.worker_pids.values())) == worker
    assert _resident_kb(worker) - before_kb < 20_000


def _garbage(system_id: int) -> Iterator[bytes]:
    """_COUNT datagrams, a sixth of each kind."""
    rng = random.Random(_SEED)
    link = mavlink.MAVLink(None, srcSystem=system_id, srcComponent=1)
    for n in range(_COUNT):
        link.seq = n % 256
        text = bytes(link.statustext_encode(2, b"forged" + bytes(44)).pack(link))
        yield (
            rng.randbytes(rng.randrange(1, 280)),
            text[: rng.randrange(len(text))],  # cut off
            bytes([0xFD, 255, 0, 0, n % 256, 200, 1]) + rng.randbytes(rng.randrange(40)),  # promises more than comes
            rng.choice((b"\x55", b"\xff", b"$", b"GET ")) + text[1:],  # another protocol
            rng.choice((b"\x00", b"\xfd\xff\x09")) + bytes(rng.randrange(30_000, 65_000)),  # huge
            text[:-2] + struct.pack("<H", struct.unpack("<H", text[-2:])[0] ^ rng.randrange(1, 65_536)),  # checksum
        )[n % 6]


def _resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"no memory figure of {pid}")
