# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the HTTP door turned away, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(slots=True)
class HttpCounts:
    """Since the service started."""

    unreadable: int = 0  # bytes that are no HTTP, or no WebSocket frames
    refused: int = 0  # no token, another host name, another origin
    too_large: int = 0
    invalid: int = 0  # from somebody who may ask, but it cannot be used (400, 405, 422)
    too_many: int = 0  # more connections than are served at once

    @property
    def unwanted(self) -> int:
        """What no client of ours sends."""
        return self.unreadable + self.refused + self.too_large + self.too_many

    def counted(self) -> Mapping[str, int]:
        """For metrics."""
        return {f"http_{field.name}": getattr(self, field.name) for field in fields(self)}
