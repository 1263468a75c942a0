# SPDX-License-Identifier: AGPL-3.0-or-later
"""The runner's handle on the camera process: starts it, feeds it true poses, knows how far its readers lag."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any, Final

import msgspec

from sim.config import ConfigError, SimConfig
from sim.pose import TruePose

_START_TIMEOUT_S: Final = 60.0
_END_TIMEOUT_S: Final = 5.0
_MAX_BUFFER_BYTES: Final = 4 * 1024 * 1024


class CameraRig:
    """All cameras of a configuration, in a process of their own that ends when this one does."""

    def __init__(self, process: asyncio.subprocess.Process, ports: dict[str, int]) -> None:
        self._process = process
        self.ports = ports
        self.poses_dropped = 0
        self._lag = 0
        self._encoder = msgspec.json.Encoder()
        self.ended = asyncio.create_task(self._listen(), name="camera rig")  # done when the process has ended

    @classmethod
    async def start(cls, config: SimConfig) -> CameraRig:
        """Start the process and wait for its ports. Raises ConfigError when it cannot use the configuration."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sim.eyes.process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child without pipes")
        process.stdin.write(msgspec.json.encode(config) + b"\n")
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                line = await process.stdout.readline()
            first: dict[str, Any] = json.loads(line) if line else {"error": "the camera process ended at once"}
        except (TimeoutError, ValueError) as error:
            first = {"error": f"the camera process does not answer ({type(error).__name__})"}
        if "ports" not in first:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise ConfigError(f"cameras: {first.get('error')}")
        return cls(process, {str(k): int(v) for k, v in first["ports"].items()})

    def pose(self, pose: TruePose) -> None:
        """Hand over a pose without waiting; when the pipe is full it is dropped and counted."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing() or stdin.transport.get_write_buffer_size() > _MAX_BUFFER_BYTES:
            self.poses_dropped += 1
            return
        stdin.write(self._encoder.encode(pose) + b"\n")

    def lag(self) -> int:
        """Most frames outstanding on any connected camera."""
        return self._lag

    async def close(self) -> None:
        """Close its input and wait for its end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._process.wait()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self.ended.cancel()
        await asyncio.gather(self.ended, return_exceptions=True)

    async def _listen(self) -> None:
        if self._process.stdout is None:
            return
        async for line in self._process.stdout:
            self._lag = int(json.loads(line).get("lag", self._lag))
        self._lag = 0
