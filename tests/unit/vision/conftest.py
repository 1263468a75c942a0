# SPDX-License-Identifier: AGPL-3.0-or-later
"""Real pictures, where they are at hand: $DRONECTL_DATA names their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    named = os.environ.get("DRONECTL_DATA")
    if not named:
        pytest.skip("DRONECTL_DATA is not set: no real pictures to test with")
    path = Path(named)
    if not path.is_dir():
        pytest.skip(f"DRONECTL_DATA={named} is no folder: no real pictures to test with")
    return path
