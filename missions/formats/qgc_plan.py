# SPDX-License-Identifier: AGPL-3.0-or-later
"""QGroundControl `.plan` files in and out: `read_plan(write_plan(plan), source=...) == plan`."""

from missions.errors import PlanError
from missions.formats.qgc_read import PlanDefaults, read_plan
from missions.formats.qgc_write import write_plan

__all__ = ["PlanDefaults", "PlanError", "read_plan", "write_plan"]
