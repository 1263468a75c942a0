# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages between the service and its worker processes: msgpack frames over a Unix socket pair.

A frame is a uint32 length (little-endian) and a msgpack document of a tagged msgspec Struct. Both ends are built from
the same union type; a first `Hello` carries the protocol version, so that a worker of another release is refused
instead of misread. A worker ends when its channel ends: an orphan must not keep a vehicle's link alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Generic, TypeVar

import msgspec

PROTOCOL_VERSION: Final = 1
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_LENGTH: Final = struct.Struct("<I")
_TERMINATE_TIMEOUT_S: Final = 3.0
_WRITE_BUFFER_BYTES: Final = 4 * 1024 * 1024

Incoming = TypeVar("Incoming")


class ChannelClosedError(Exception):
    """The other side is gone."""


class ProtocolError(Exception):
    """The other side speaks something else."""


class Hello(msgspec.Struct, tag="hello", frozen=True):
    """The first message each way."""

    version: int = PROTOCOL_VERSION


class Channel(Generic[Incoming]):
    """One end of a pair. `incoming` is the union of Structs (tagged) that this end may receive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: Any) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(incoming | Hello)
        self._encoder = msgspec.msgpack.Encoder()
        writer.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    @classmethod
    async def from_socket(cls, sock: socket.socket, incoming: Any) -> Channel[Any]:
        """Wrap a connected Unix socket and exchange Hello."""
        reader, writer = await asyncio.open_connection(sock=sock)
        channel: Channel[Any] = cls(reader, writer, incoming)
        channel.post(Hello())
        return channel

    def post(self, message: msgspec.Struct) -> None:
        """Queue a message without waiting (telemetry, results). The transport's buffer grows; use send() for bulk."""
        body = self._encoder.encode(message)
        self._writer.write(_LENGTH.pack(len(body)) + body)

    async def send(self, message: msgspec.Struct) -> None:
        """Queue a message and wait until the buffer has room."""
        self.post(message)
        try:
            await self._writer.drain()
        except (ConnectionError, BrokenPipeError) as error:
            raise ChannelClosedError("the other side is gone") from error

    async def receive(self) -> Incoming:
        """The next message; raises ChannelClosedError at the end, ProtocolError for bytes that cannot be read."""
        while True:
            try:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                if length > MAX_MESSAGE_BYTES:
                    raise ProtocolError(f"a message of {length} bytes is refused")
                body = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise ChannelClosedError("the other side is gone") from error
            try:
                message = self._decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise ProtocolError(f"a message that cannot be read: {error}") from error
            if isinstance(message, Hello):
                if message.version != PROTOCOL_VERSION:
                    raise ProtocolError(f"the other side speaks version {message.version}, not {PROTOCOL_VERSION}")
                continue
            return message  # type: ignore[no-any-return]  # the decoder's union

    @property
    def unsent_bytes(self) -> int:
        """What lies in the transport's buffer; a sender of telemetry skips a batch when this grows."""
        return self._writer.transport.get_write_buffer_size()

    def close(self) -> None:
        """Close without waiting; safe to call twice."""
        self._writer.close()


@asynccontextmanager
async def worker_process(
    module: str, arguments: Sequence[str], incoming: Any, environment: dict[str, str] | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Channel[Any]]]:
    """Run `python -m module arguments... --channel-fd N`; on leaving, close its channel, then end it by pid.

    The child is a spawned interpreter, never a fork of this one, and inherits nothing but the channel.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            "--channel-fd",
            str(theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        channel = await Channel.from_socket(ours, incoming)
        try:
            yield process, channel
        finally:
            channel.close()
    finally:
        await end_process(process)


async def end_process(process: asyncio.subprocess.Process, grace_s: float = _TERMINATE_TIMEOUT_S) -> None:
    """Wait for a child that should end by itself, then SIGTERM, then SIGKILL. Also completes under cancellation."""
    for how in (None, signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        if how is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
        waiter = asyncio.ensure_future(process.wait())
        try:
            async with asyncio.timeout(grace_s):
                await asyncio.shield(waiter)
        except TimeoutError:
            continue
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        finally:
            if not waiter.done():
                waiter.cancel()


async def parent_channel(channel_fd: int, incoming: Any) -> Channel[Any]:
    """Return the worker's end of its channel."""
    return await Channel.from_socket(socket.socket(fileno=channel_fd), incoming)
