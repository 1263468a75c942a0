# SPDX-License-Identifier: AGPL-3.0-or-later
"""Drone fleet control and autonomous patrol."""

from importlib.metadata import version

__version__ = version("dronectl")
