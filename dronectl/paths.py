# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where things lie: the configuration that ships with the program, and a site's state on this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def config_dir() -> Path:
    """Return the shipped configuration: package data in an installed wheel, `config/` in a checkout."""
    installed = Path(__file__).parent / "_config"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "config"


def default_site_file() -> Path:
    """Return $DRONECTL_SITE, else the demonstration site."""
    named = os.environ.get("DRONECTL_SITE")
    return Path(named) if named else config_dir() / "lidu" / "site.yaml"


@dataclass(frozen=True, slots=True)
class StateDir:
    """A site's own folder: database, token, evidence, and where its service answers."""

    root: Path

    @classmethod
    def for_site(cls, site_id: str, override: Path | None = None) -> StateDir:
        """Return `override`, else $DRONECTL_STATE, else the user's state folder, for this site."""
        if override is not None:
            return cls(override)
        named = os.environ.get("DRONECTL_STATE")
        if named:
            return cls(Path(named))
        base = Path(os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state")
        return cls(base / "dronectl" / site_id)

    def create(self) -> StateDir:
        """Make the folder, readable by its owner alone: it holds the token and pictures of people."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.evidence.mkdir(exist_ok=True)
        return self

    @property
    def database(self) -> Path:
        return self.root / "dronectl.db"

    @property
    def token(self) -> Path:
        return self.root / "token"

    @property
    def evidence(self) -> Path:
        return self.root / "evidence"

    @property
    def service_file(self) -> Path:
        """JSON with pid and URL of the running service; stale after a kill, so always checked by knocking."""
        return self.root / "service.json"

    @property
    def lock(self) -> Path:
        return self.root / "service.lock"
