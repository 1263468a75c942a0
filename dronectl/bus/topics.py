# SPDX-License-Identifier: AGPL-3.0-or-later
"""The topics of a site: `dronectl/v1/{site}/...`. There is no `cmd/`: it stays absent until roles exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PREFIX: Final = "dronectl/v1"
_FORBIDDEN: Final = frozenset("+#/\x00")


@dataclass(frozen=True, slots=True)
class Topics:
    """Builds and takes apart the topics of one site."""

    site_id: str

    def __post_init__(self) -> None:
        _level(self.site_id)

    @property
    def root(self) -> str:
        return f"{PREFIX}/{self.site_id}"

    @property
    def service_status(self) -> str:
        return f"{self.root}/service/status"

    def drone(self, drone_id: str, what: str) -> str:
        return f"{self.root}/drones/{_level(drone_id)}/{what}"

    def alert(self, alert_id: str) -> str:
        return f"{self.root}/alerts/{_level(alert_id)}"

    def ack(self, alert_id: str) -> str:
        return f"{self.alert(alert_id)}/ack"

    def action(self, alert_id: str) -> str:
        return f"{self.alert(alert_id)}/action"

    def incident(self, incident_id: str) -> str:
        return f"{self.root}/incidents/{_level(incident_id)}"

    def parts(self, topic: str) -> tuple[str, ...] | None:
        """The levels below the site's root; None for a topic of anybody else."""
        start = f"{self.root}/"
        return tuple(topic[len(start) :].split("/")) if topic.startswith(start) else None


def _level(name: str) -> str:
    """One level of a topic; a name that would break out of its place is refused."""
    if not name or _FORBIDDEN.intersection(name) or name.startswith("$"):
        raise ValueError(f"{name!r} cannot be a level of an MQTT topic")
    return name
