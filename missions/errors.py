# SPDX-License-Identifier: AGPL-3.0-or-later
"""What planning raises when it cannot give a plan: the task cannot be flown, or a plan file cannot be read."""

from __future__ import annotations


class PlanningError(ValueError):
    """A task that no plan can meet; every line names the item, what is wrong and how to mend it."""


class PlanError(ValueError):
    """A plan file that cannot be read; every line names the file, the place in it and how to mend it."""
