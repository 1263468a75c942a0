# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service with a camera on a mast: what it asks of drones' cameras it does not ask of that one."""

import asyncio
import shutil
from typing import Any

import pytest

from dronectl import service as service_module
from dronectl.paths import StateDir, config_dir
from dronectl.perception.client import PerceptionClient, PerceptionSettings
from dronectl.perception.masts import mast_feeds
from dronectl.service import Service
from dronectl.site import load_site
from vision.pipeline_types import CameraReport

LIDU = config_dir() / "lidu" / "site.yaml"
MAST = "{id: cam-square, name: Market square mast, position: [29.738441, 107.270744]}"
LOOK = "look: {type: rgb, address: 'rtsp://u:p@10.0.0.9/1', every_s: 20, height_m: 8, yaw_deg: 45, pitch_deg: -30}}"


async def test_reports_of_a_camera_on_a_mast_do_not_end_the_service(tmp_path, monkeypatch):
    shutil.copy(LIDU.parent / "terrain.npz", tmp_path)
    file = tmp_path / "site.yaml"
    text = LIDU.read_text(encoding="utf-8")
    assert MAST in text
    file.write_text(text.replace(MAST, f"{MAST[:-1]}, {LOOK}"), encoding="utf-8")
    site = load_site(file)
    feeds = mast_feeds(site.masts, site.terrain)
    client = PerceptionClient(feeds, PerceptionSettings(tmp_path), lambda _sighting: None)
    client.cameras = tuple(
        CameraReport(f.camera.camera_id, True, None, 1, 1, 0, 0, {}, 0, 0, 0, 0, 0, None, None, {}) for f in feeds
    )
    monkeypatch.setattr(service_module, "_VISIT_PERIOD_S", 0.01)
    service: Any = Service(site, StateDir(tmp_path / "state"))
    service._perception = client
    visits = asyncio.create_task(service._visits(None))
    await asyncio.sleep(0.2)
    ended = visits.done()
    visits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visits
    assert not ended
