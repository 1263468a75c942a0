# SPDX-License-Identifier: AGPL-3.0-or-later
"""What `dronectl fly` does before and after the flights: files read and refused, results put into one exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dronectl.cli import fly
from dronectl.cli.common import say
from dronectl.cli.fly import read_document
from dronectl.cli.fly_set import Ordered, Result, worst_code
from dronectl.errors import BadInputError
from dronectl.operations.planning import plan_site_patrol
from dronectl.paths import default_site_file
from dronectl.site import load_site
from missions.formats.qgc_plan import write_plan
from missions.model import Budget


def test_a_byte_order_mark_is_no_fault(tmp_path):
    file = tmp_path / "a.plan"
    file.write_text(json.dumps({"fileType": "Plan"}), encoding="utf-8-sig")
    assert read_document(file) == {"fileType": "Plan"}


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "{", ""])
def test_what_is_no_plan_is_one_line(tmp_path, text):
    file = tmp_path / "a.plan"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError) as refused:
        read_document(file)
    assert str(refused.value).startswith(str(file))
    assert "\n" not in str(refused.value)


def test_what_a_vehicle_says_is_printed_as_it_is_and_steers_no_terminal(capsys):
    say("paused 2/7 the vehicle went to hold without an order ([/pm] [red]low\x1b[2J)")
    said = capsys.readouterr().out
    assert "([/pm] [red]low" in said
    assert "\x1b" not in said


@pytest.fixture(scope="module")
def site():
    return load_site(default_site_file())


@pytest.fixture(scope="module")
def patrol(site):
    return plan_site_patrol(site, Budget(iterations=50)).plans


def files_of(folder, *plans):
    files = []
    for plan in plans:
        files.append(folder / f"{len(files)}-{plan.vehicle_id}.plan")
        files[-1].write_text(write_plan(plan), encoding="utf-8")
    return files


def test_a_set_is_taken_with_its_drones_and_starts(site, patrol, tmp_path):
    orders = fly._set_of(site, files_of(tmp_path, *patrol), None)
    assert [(o.vehicle_id, o.start_after_s) for o in orders] == [(p.vehicle_id, p.start_after_s) for p in patrol]
    assert orders[0].document == json.loads(orders[0].file.read_text(encoding="utf-8"))


def refused(site, files, vehicle=None) -> str:
    with pytest.raises(BadInputError) as caught:
        fly._set_of(site, files, vehicle)
    return str(caught.value)


def test_what_is_no_set_is_refused_with_its_file(site, patrol, tmp_path):
    one, two, *_ = patrol
    files = files_of(tmp_path, one, two, replace(two, start_after_s=900.0))
    assert "--vehicle names the vehicle of one plan" in refused(site, files[:2], "d1")
    said = refused(site, files)
    assert said.startswith(f"{files[2]}: is for {two.vehicle_id}, as {files[1]} is")
    assert "battery" in said
    stranger = files_of(tmp_path, replace(two, vehicle_id="d9"))[0]
    assert refused(site, [*files_of(tmp_path, one), stranger]).startswith(f"{stranger}: there is no drone 'd9'")
    foreign = tmp_path / "foreign.plan"
    document = json.loads(write_plan(two))
    del document["dronectl"]
    foreign.write_text(json.dumps(document), encoding="utf-8")
    assert refused(site, [files[0], foreign]).startswith(f"{foreign}: does not say which vehicle it is for")
    document["dronectl"] = {}
    foreign.write_text(json.dumps(document), encoding="utf-8")
    assert str(foreign) in refused(site, [files[0], foreign])
    assert "cannot be read" in refused(site, [files[0], tmp_path / "none.plan"])


def test_plans_whose_starts_do_not_keep_them_apart_are_refused(site, patrol, tmp_path):
    by_start = sorted(patrol, key=lambda p: p.start_after_s)
    files = files_of(tmp_path, by_start[0], replace(by_start[1], start_after_s=by_start[0].start_after_s + 1.0))
    said = refused(site, files)
    assert said.startswith("these plans are no set that keeps apart:")
    assert f"{files[0]}, {files[1]}: " in said


def test_return_heights_that_would_meet_are_refused(site, patrol, tmp_path):
    one, two, *_ = patrol
    files = files_of(tmp_path, one, replace(two, return_height_m=one.return_height_m + 1.0))
    assert f"{files[1]}: would return at" in refused(site, files)


def test_one_plan_names_its_drone_itself_or_is_asked_for_it(tmp_path, patrol):
    file = files_of(tmp_path, replace(patrol[0], start_after_s=42.0))[0]
    order = fly._single(file, None)
    assert (order.vehicle_id, order.start_after_s) == (patrol[0].vehicle_id, 42.0)
    assert fly._single(file, "d7").vehicle_id == "d7"  # the service says that this is another's plan
    for text in ("[]", "{}", '{"dronectl": 3}', '{"dronectl": {"vehicle_id": 3}}'):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(BadInputError, match="--vehicle"):
            fly._single(file, None)


def result(outcome: str | None = "completed", *blockers: str, not_taken: str = "") -> Result:
    state = "failed" if blockers else "landed" if outcome else "flying"
    findings = [{"code": code, "severity": "blocker", "message": f"d1: {code}"} for code in blockers]
    sortie = None if not_taken else {"sortie_id": "s", "state": state, "findings": findings, "outcome": outcome}
    return Result(Ordered(Path("d1.plan"), {}, "d1", 0.0), True, sortie, not_taken)


UNHEARD = result("failed", "link-stale")
BLOCKED = result("failed", "battery")
BOTH = result("failed", "link-stale", "battery")
NOT_TAKEN = result(None, not_taken="d1: it flies already")


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([result()], 0),
        ([result("partial")], 1),
        ([BLOCKED], 2),
        ([BOTH], 2),
        ([NOT_TAKEN], 2),
        ([UNHEARD], 3),
        ([result(), UNHEARD], 3),
        ([UNHEARD, UNHEARD], 3),
        ([result("aborted"), UNHEARD], 1),
        ([UNHEARD, BLOCKED, result("partial")], 2),
        ([result(), result("partial"), NOT_TAKEN], 2),
    ],
)
def test_the_worst_is_the_exit_code_and_unheard_only_if_nothing_else_went_wrong(results, code):
    assert worst_code(results, waited=True) == code


def test_without_waiting_only_a_refusal_counts():
    assert worst_code([result(None), result()], waited=False) == 0
    assert worst_code([result(None), BLOCKED], waited=False) == 2


def test_a_plan_that_was_not_taken_is_told_to_machines_as_a_failed_sortie():
    told = NOT_TAKEN.document()
    assert (told["sortie_id"], told["vehicle_id"], told["state"]) == (None, "d1", "failed")
    assert told["detail"] == "d1: it flies already"
