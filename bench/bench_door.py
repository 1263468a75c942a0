# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the kernel's filters at a vehicle's door cost: CPU time per packet sent and received over loopback.

The same packet goes through a socket without a filter, with the short program and with the long one, in turns of 2,000,
so that what else the machine does hits all three alike. Printed are the median turn of each, and the differences.
"""

import argparse
import os
import socket
import statistics
import time
from contextlib import ExitStack

from pymavlink.dialects.v20 import common as mavlink

from dronectl.fleet.door import attach
from dronectl.fleet.door_program import headers_only, with_checksums

_TURN = 2000
_PROGRAMS = {"none": None, "headers": headers_only(), "checksums": with_checksums()}


def packets():
    """By payload in bytes: a heartbeat, a text, the longest that common has."""
    link = mavlink.MAVLink(None, srcSystem=11, srcComponent=1)
    messages = (
        link.heartbeat_encode(2, 12, 129, 50593792, 4, 3),
        link.statustext_encode(6, b"x" * 39),
        link.file_transfer_protocol_encode(0, 1, 1, [255] * 251),
    )
    return {packet[1]: packet for packet in (bytes(message.pack(link)) for message in messages)}


def pair(stack, program):
    inside = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    outside = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
    inside.bind(("127.0.0.1", 0))
    inside.setblocking(False)
    outside.connect(inside.getsockname())
    if program is not None:
        attach([inside], program)
    return outside.send, inside.recv


def turn_ns(send, recv, packet):
    start = time.process_time_ns()
    for _ in range(_TURN):
        send(packet)
        recv(2048)
    return (time.process_time_ns() - start) / _TURN


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=33, help=f"turns of {_TURN} packets for each filter and length")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}; {options.turns} turns of {_TURN} packets")
    with ExitStack() as stack:
        doors = {name: pair(stack, program) for name, program in _PROGRAMS.items()}
        for length, packet in packets().items():
            turns = {name: [] for name in doors}
            for _ in range(options.turns):
                for name, (send, recv) in doors.items():
                    turns[name].append(turn_ns(send, recv, packet))
            none, headers, checksums = (statistics.median(turns[name]) for name in doors)
            print(
                f"payload {length:3d} bytes: {none:.0f} ns without a filter, {headers - none:+.0f} ns for the header, "
                f"{checksums - headers:+.0f} ns more for the checksum"
            )


if __name__ == "__main__":
    main()
