# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl evidence`: found from outside, held and deleted with an entry in the audit log."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from dronectl.cli.main import app
from dronectl.errors import BadInputError
from dronectl.operations.evidence import SweepTime, hold, sweep
from dronectl.store import Store, audit
from dronectl.store.models import AuditRow
from vision.evidence_index import EvidenceIndex, Indexed

DAYS = {"person": 30.0, "default": 90.0}


def picture(folder: Path, name: str, age_days: float, tag: str = "person") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"jpeg")
    at = time.time() - age_days * 86400.0
    item = Indexed(name, "c" * 64, "crop", tag, at, "cam", "d1", "t", 29.7383, 107.2709, 3.0, {"yaw_deg": 1.0}, "onnx")
    EvidenceIndex(folder).add(item)


async def test_a_sweep_deletes_what_is_due_names_it_in_the_audit_log_and_spares_what_is_held(tmp_path):
    folder = tmp_path / "evidence"
    for name, age, tag in (("old.jpg", 31, "person"), ("held.jpg", 99, "person"), ("car.jpg", 31, "vehicle")):
        picture(folder, name, age, tag)
    index, now = EvidenceIndex(folder), datetime.now(UTC)
    async with Store.open(tmp_path / "a.db", "s") as store:
        assert await hold(index, store, "held.jpg", "case 7", now, actor="cli:desk")
        assert not await hold(index, store, "none.jpg", "case 7", now, actor="cli:desk")
        dry = await sweep(index, store, DAYS, now, actor="x", dry=True)
        assert ([i.path for i in dry.due], dry.deleted) == (["old.jpg"], 0)
        assert (folder / "old.jpg").exists()
        assert (await sweep(index, store, DAYS, now, actor="x")).deleted == 1
        assert (await sweep(index, store, DAYS, now, actor="x")).deleted == 0
        assert await hold(index, store, "held.jpg", None, now, actor="cli:desk")
        assert (await sweep(index, store, DAYS, now, actor="x")).deleted == 1
        async with store.reader() as session:
            rows = list(await session.scalars(select(AuditRow).order_by(AuditRow.number)))
            assert (await audit.verify(session, "s")).broken_at is None
    assert [r.action for r in rows] == [
        "evidence.held", "evidence.expired", "evidence.released", "evidence.expired"
    ]  # fmt: skip
    assert [f["path"] for f in rows[1].detail["files"]] == ["old.jpg"]
    assert sorted(p.name for p in folder.glob("*.jpg")) == ["car.jpg"]


def test_find_lists_a_place_and_time_for_people_and_machines(tmp_path):
    picture(tmp_path / "evidence", "a.jpg", 0.5)
    picture(tmp_path / "evidence", "b.jpg", 3.0)
    near = ["evidence", "find", "--state", str(tmp_path), "--at", "29.7383,107.2709", "--within", "20"]
    found = CliRunner().invoke(app, [*near, "--json"])
    assert [i["path"] for i in json.loads(found.stdout)] == ["b.jpg", "a.jpg"]
    since = datetime.fromtimestamp(time.time() - 86400.0, UTC).isoformat()
    found = CliRunner().invoke(app, [*near, "--since", since])
    assert "a.jpg" in found.stdout
    assert "b.jpg" not in found.stdout
    away = CliRunner().invoke(app, ["evidence", "find", "--state", str(tmp_path), "--at", "29.7483,107.2709"])
    assert away.exit_code == 1


@pytest.mark.parametrize("as_json", [False, True])
def test_hold_takes_a_picture_as_find_lists_it(tmp_path, as_json):
    """Found by using it: the path that find prints was "not in the evidence"; only the name in its JSON was known."""
    picture(tmp_path / "evidence", "a.jpg", 0.5)
    state = ["--state", str(tmp_path)]
    found = CliRunner().invoke(app, ["evidence", "find", *state, *(["--json"] if as_json else [])])
    listed = json.loads(found.stdout)[0]["path"] if as_json else found.stdout.splitlines()[0].split()[-1]
    done = CliRunner().invoke(app, ["evidence", "hold", listed, "--reason", "case 7", *state])
    assert done.exit_code == 0, done.exception
    assert EvidenceIndex(tmp_path / "evidence").find()[0].hold is not None
    assert CliRunner().invoke(app, ["evidence", "release", listed, *state]).exit_code == 0
    assert EvidenceIndex(tmp_path / "evidence").find()[0].hold is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["find", "--at", "north"], "LATITUDE,LONGITUDE"),
        (["find", "--since", "yesterday"], "2026-03-01T18:30"),
        (["find", "--since", "2026-03-02T00:00", "--until", "2026-03-01T00:00"], "is later than --until"),
        (["find", "--kind", "dragon"], "--kind dragon: is none of person, "),
        (["hold", "none.jpg", "--reason", "case"], "none.jpg"),
        (["hold", "a.jpg", "--reason", " "], "why"),
        (["sweep"], "no evidence"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path, words, said):
    done = CliRunner().invoke(app, ["evidence", *words, "--state", str(tmp_path)])
    assert isinstance(done.exception, BadInputError)
    assert said in str(done.exception)


def test_a_picture_that_cannot_be_deleted_keeps_no_other_and_what_was_done_is_told(tmp_path):
    folder = tmp_path / "evidence"
    for name, age in (("a.jpg", 400), ("b.jpg", 399), ("c.jpg", 398)):
        picture(folder, name, age)
    (folder / "a.jpg").unlink()
    (folder / "a.jpg").mkdir()  # in the way of its deletion
    swept = CliRunner().invoke(app, ["evidence", "sweep", "--state", str(tmp_path), "--json"])
    told = json.loads(swept.stdout)
    assert (len(told["due"]), told["deleted"]) == (3, 2)
    assert isinstance(swept.exception, BadInputError)
    assert str(swept.exception).startswith(f"{folder / 'a.jpg'}: cannot be deleted")
    assert sorted(p.name for p in folder.glob("*.jpg")) == ["a.jpg"]


class SetClock:
    """Set by hand: hours that have passed, and by how many somebody has set the clock."""

    def __init__(self):
        self.hours, self.set_by = 0.0, 0.0

    def monotonic_s(self):
        return 3600.0 * self.hours

    def utc(self):
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=self.hours + self.set_by)


def test_a_clock_that_is_set_ahead_deletes_nothing_before_it_has_stood_for_a_day():
    clock = SetClock()
    by = SweepTime(clock)
    assert by.now() == clock.utc()
    clock.hours, clock.set_by = 1.0, 24.0 * 365
    assert by.now() is None
    clock.hours, clock.set_by = 30.0, 0.0  # it was wrong for a while
    assert by.now() == clock.utc()
    clock.hours, clock.set_by = 31.0, 48.0
    assert by.now() is None
    clock.hours, clock.set_by = 50.0, 24.0 * 90  # another one: its day begins anew
    assert by.now() is None
    clock.hours = 73.0
    assert by.now() is None
    clock.hours = 74.0
    assert by.now() == clock.utc()
    clock.set_by += 0.5
    assert by.now() == clock.utc()


def test_a_clock_that_is_set_back_keeps_evidence_longer_at_the_most():
    clock = SetClock()
    by = SweepTime(clock)
    clock.hours, clock.set_by = 1.0, -48.0
    assert by.now() == clock.utc()
    clock.set_by = 0.5
    assert by.now() == clock.utc()
