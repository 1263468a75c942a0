# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ports that children are told to take."""

import socket

import pytest

from dronectl.ports import free_ports


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_ports_differ_can_be_had_and_are_no_outgoing_connections(kind):
    ports = free_ports(kind, 40)
    assert len(set(ports)) == 40
    assert all(14_600 < port < 32_768 for port in ports)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", ports[0]))
        assert taken.getsockname()[1] == ports[0]
