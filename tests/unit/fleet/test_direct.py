# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second ground station when the links cannot be had at all; what it does with vehicles is an integration test."""

from __future__ import annotations

import sys

import pytest

from dronectl.errors import UnavailableError
from dronectl.operations.direct import order_directly
from dronectl.paths import config_dir
from dronectl.site import load_site


async def test_a_link_worker_that_does_not_start_is_one_line(monkeypatch):
    """As on a machine whose MAVSDK does not load."""
    site = load_site(config_dir() / "lidu" / "site.yaml")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnavailableError, match=r"link worker 1.*doctor"):
        await order_directly("hold", site.drones)
