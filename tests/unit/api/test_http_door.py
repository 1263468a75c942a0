# SPDX-License-Identifier: AGPL-3.0-or-later
"""The HTTP door in this process: evidence (and who looks at it is in the audit log), and what cannot be said in UTF-8."""

from __future__ import annotations

import contextlib
import shutil

import httpx
import pytest
from sqlalchemy import select

from dronectl.alerts.service import AlertService
from dronectl.alerts.site import alert_site
from dronectl.api.app import create_app
from dronectl.bus.client import Bus
from dronectl.bus.settings import BrokerAccess, BusSettings
from dronectl.clock import SystemClock
from dronectl.fleet.failsafe import FailsafePolicy
from dronectl.fleet.fleet import Fleet
from dronectl.operations.addresses import addresses
from dronectl.operations.desk import Desk, Sources
from dronectl.operations.http_counts import HttpCounts
from dronectl.paths import config_dir
from dronectl.site import load_site
from dronectl.store import Store, StoreError
from dronectl.store.models import AuditRow
from vision.evidence_index import FILE, EvidenceIndex
from vision.gaps import CoverageBook

TOKEN = "t" * 40
CLOCK = SystemClock()


@contextlib.asynccontextmanager
async def door(folder):
    """The HTTP door over an evidence folder; yields (client, store, evidence folder)."""
    site = load_site(config_dir() / "lidu" / "site.yaml")
    evidence = folder / "evidence"
    evidence.mkdir()
    async with Store.open(folder / "site.db", site.site_id) as store:
        bus = Bus(BusSettings(site.site_id, "exercise", BrokerAccess("127.0.0.1", 9), "x"), CLOCK)
        fleet = Fleet(
            site.site_id, addresses(site.drones), site.limits, FailsafePolicy(), site.terrain, store, CLOCK,
            on_poses=lambda _samples: None,
        )  # fmt: skip
        desk = Desk(
            Sources(
                site=site, store=store, fleet=fleet, alerts=AlertService(store, bus, alert_site(site), CLOCK), clock=CLOCK,
                evidence=evidence, children=list, cameras=tuple, coverage=CoverageBook({}, 0.0),
                bus_connected=lambda: False, http=HttpCounts(), faults=lambda: 0,
            )
        )  # fmt: skip
        transport = httpx.ASGITransport(create_app(desk, TOKEN, HttpCounts()))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            yield client, store, evidence


async def views(store) -> list[tuple[str, str]]:
    async with store.reader() as session:
        rows = await session.scalars(select(AuditRow).where(AuditRow.action == "evidence.viewed"))
        return [(row.actor, row.subject) for row in rows]


async def test_pictures_and_clips_are_shown_and_each_look_is_logged(tmp_path):
    async with door(tmp_path) as (client, store, evidence):
        (evidence / "t1-crop.jpg").write_bytes(b"picture")
        (evidence / "t1-clip.avi").write_bytes(b"clip")
        for name in ("t1-crop.jpg", "t1-clip.avi"):
            answer = await client.get(f"/api/v1/evidence/{name}")
            assert (answer.status_code, answer.content) == (200, (evidence / name).read_bytes())
        assert await views(store) == [("operator", "t1-crop.jpg"), ("operator", "t1-clip.avi")]


async def test_nothing_else_of_the_folder_is_shown(tmp_path):
    async with door(tmp_path) as (client, store, evidence):
        (evidence / "t1-crop.jpg").write_bytes(b"picture")
        EvidenceIndex(evidence).find()  # makes the index
        (evidence / ".t1-clip.99.tmp.avi").write_bytes(b"half")
        (evidence / "notes.txt").write_text("x", encoding="utf-8")
        (evidence / "sub").mkdir()
        shutil.copy(evidence / "t1-crop.jpg", evidence / "sub" / "t2.jpg")
        shutil.copy(evidence / "t1-crop.jpg", tmp_path / "outside.jpg")
        (evidence / "link.jpg").symlink_to(tmp_path / "outside.jpg")
        assert (evidence / FILE).is_file()
        for name in (
            FILE,
            ".t1-clip.99.tmp.avi",
            "notes.txt",
            "sub/t2.jpg",
            "%2e%2e/outside.jpg",
            "link.jpg",
            "",
            "%00",
        ):
            assert (await client.get(f"/api/v1/evidence/{name}")).status_code == 404, name
        assert await views(store) == []


async def test_a_log_that_cannot_be_written_keeps_nobody_from_seeing_a_fire(tmp_path, monkeypatch, caplog):
    @contextlib.asynccontextmanager
    async def refuse():
        raise StoreError("the disk is full")
        yield  # pragma: no cover

    async with door(tmp_path) as (client, store, evidence):
        (evidence / "t1-crop.jpg").write_bytes(b"picture")
        monkeypatch.setattr(store, "session", refuse)
        assert (await client.get("/api/v1/evidence/t1-crop.jpg")).status_code == 200
    assert "not logged" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        r'{"vehicle_id": "d1", "plan": {"fileType": "Plan", "version": "\ud800"}}',
        r'{"vehicle_id": "d1", "plan": {"fileType": "\ud800"}}',
        r'{"vehicle_id": "d1", "plan": {}, "\ud800": 1}',
        r'{"vehicle_id": "d1", "plan": {}, "reason": "\ud800"}',
        r'{"vehicle_id": "\ud800", "plan": {}}',
    ],
)
@pytest.mark.parametrize("path", ["sorties", "preflight"])
async def test_half_a_surrogate_pair_is_refused_like_anything_else(tmp_path, path, body):
    async with door(tmp_path) as (client, _store, _evidence):
        answer = await client.post(f"/api/v1/{path}", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"]


async def test_a_track_that_cannot_be_told_is_refused_in_one_line(tmp_path):
    async with door(tmp_path) as (client, _, _):
        nobody = await client.get("/api/v1/sorties/none/track")
        assert (nobody.status_code, nobody.json()) == (404, {"detail": "there is no sortie none"})
        for wrong in ("-1", "nan", "soon"):
            refused = await client.get(f"/api/v1/sorties/none/track?after_s={wrong}")
            assert refused.status_code == 422
            assert refused.json()["detail"].startswith("query.after_s: ")
            assert "\n" not in refused.json()["detail"]
