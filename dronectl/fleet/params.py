# SPDX-License-Identifier: AGPL-3.0-or-later
"""Parameters of one vehicle, through its lane. MAVLink wants their types said; a vehicle's types are learned by reading."""

from __future__ import annotations

from typing import Final

from dronectl.fleet.lanes import Lane, Turn
from dronectl.fleet.link import LinkError, LinkFailure
from dronectl.fleet.native import Native, WrongTypeError

_SAME: Final = 1e-6  # of the value: what single precision may cost


class Params:
    """Reads and writes; what is written is read back."""

    def __init__(self, vehicle_id: str, lane: Lane) -> None:
        self._vehicle_id, self._lane = vehicle_id, lane
        self._types: dict[str, type[int | float]] = {}

    async def get(self, native: Native, name: str) -> float:
        """An int for INT32, a float for REAL32. Raises LinkError."""
        return await self._lane.ordinary(lambda turn: self._get(native, turn, name))

    async def set(self, native: Native, name: str, value: float) -> None:
        """Raises LinkError, also where the vehicle then reads another value."""

        async def steps(turn: Turn) -> None:
            await self._get(native, turn, name)
            if self._types[name] is float:
                await turn.call(lambda: native.set_real(name, float(value)))
            elif value == int(value):
                await turn.call(lambda: native.set_int(name, int(value)))
            else:
                raise LinkError(LinkFailure.ERROR, f"{self._vehicle_id}: {name} takes whole numbers, not {value}")
            got = await self._get(native, turn, name)
            if abs(got - value) > _SAME * max(1.0, abs(value)):
                raise LinkError(LinkFailure.ERROR, f"{self._vehicle_id}: {name} was set to {value} and reads {got}")

        await self._lane.ordinary(steps)

    async def _get(self, native: Native, turn: Turn, name: str) -> float:
        """What type a parameter has is learned once, and anew if it is another."""
        if self._types.get(name) is float:
            try:
                return await turn.call(lambda: native.get_real(name))
            except WrongTypeError:  # another firmware
                del self._types[name]
        value: float
        try:
            value = await turn.call(lambda: native.get_int(name))
            self._types[name] = int
        except WrongTypeError:
            value = await turn.call(lambda: native.get_real(name))
            self._types[name] = float
        return value
