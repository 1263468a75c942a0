# SPDX-License-Identifier: AGPL-3.0-or-later
"""Folders of services that were killed together with their link workers go; everything else stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dronectl.fleet import pool


def test_only_the_folders_of_dead_services_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    orphan = tmp_path / f"dronectl-link-{ended.pid}-abc"
    (orphan / "inside").mkdir(parents=True)
    kept = [tmp_path / name for name in (f"dronectl-link-{os.getpid()}-abc", "dronectl-link-word", "other")]
    for folder in kept:
        folder.mkdir()
    link = tmp_path / f"dronectl-link-{ended.pid}-link"
    link.symlink_to(kept[2])

    pool._remove_orphaned()  # what run() does first

    assert not orphan.exists()
    assert all(folder.exists() for folder in kept)
    assert link.is_symlink()
