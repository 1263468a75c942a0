# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service dies in the middle: each command says in one line what happened, what flies on, and what to do."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dronectl.cli import vehicles
from dronectl.cli.client import ServiceClient, ServiceLostError
from dronectl.cli.fly import fly as fly_command
from dronectl.cli.fly_set import FlySet, Ordered
from dronectl.demo.processes import Child
from dronectl.demo.site_run import lost
from dronectl.errors import BadInputError, UnavailableError
from dronectl.paths import StateDir, default_site_file

SORTIE = {"sortie_id": "s1", "vehicle_id": "d1", "state": "flying", "detail": "", "findings": [], "outcome": None,
          "waypoints_reached": 1, "waypoints_total": 9, "notices": [], "outcome_note": None}  # fmt: skip
ACCEPTED = (202, {"sortie_id": "s1", "warnings": []})


@contextmanager
def dying_after(answers: Sequence[tuple[int, object]], folder: Path) -> Iterator[StateDir]:
    """A door that gives these answers, and then what a killed process gives: it reads a request and is gone."""
    door = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        caller, _ = door.accept()
        with caller:
            for status, content in answers:
                _read_request(caller)
                body = json.dumps(content).encode()
                caller.sendall(f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            _read_request(caller)
            door.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    state = StateDir(folder)
    state.service_file.parent.mkdir(parents=True, exist_ok=True)
    state.service_file.write_text(json.dumps({"url": f"http://127.0.0.1:{door.getsockname()[1]}"}), encoding="utf-8")
    state.token.write_text("t", encoding="ascii")
    yield state
    thread.join(10.0)
    assert not thread.is_alive()


def _read_request(caller: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += caller.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += caller.recv(65536)


def fly(state: StateDir, *vehicle_ids: str) -> str:
    orders = [Ordered(Path(f"{v}.plan"), {}, v, 60.0 * i) for i, v in enumerate(vehicle_ids)]
    with pytest.raises(UnavailableError) as caught:
        FlySet(ServiceClient(state, timeout_s=10.0), orders, {"reason": "a test"}, quiet=True).run(wait=True)
    assert "\n" not in str(caught.value)
    assert "Error" not in str(caught.value)
    return str(caught.value)


def test_a_flight_whose_service_dies_flies_on_and_the_line_says_what_to_do(tmp_path):
    with dying_after([ACCEPTED, (200, SORTIE)], tmp_path) as state:
        said = fly(state, "d1", "d2")
    assert "went away in the middle of a request" in said
    assert "d1 flies on without it" in said
    assert "on the ground: d2" in said
    assert "start `dronectl up` again: it adopts flights under way, `dronectl vehicles` shows them" in said
    assert "`dronectl hold|return|land d1 --direct`" in said


def test_a_flight_that_was_just_being_handed_in_may_fly(tmp_path):
    with dying_after([], tmp_path) as state:
        said = fly(state, "d1")
    assert "d1 may have been handed in, and may be flying" in said
    assert "--direct" in said


def test_a_service_that_is_gone_between_two_requests_is_told_the_same_way(tmp_path):
    with dying_after([ACCEPTED, (200, SORTIE), (200, {**SORTIE, "state": "returning"})], tmp_path) as state:
        said = fly(state, "d1")
    assert "d1 flies on without it" in said


def flown_as_json(state: StateDir, capsys, tmp_path: Path, vehicle_id: str = "d1"):
    """What `dronectl fly --json` leaves on standard output when it ends with code 3, and its line."""
    plan = tmp_path / "a.plan"
    plan.write_text("{}", encoding="utf-8")
    with pytest.raises(UnavailableError) as caught:
        fly_command([plan], vehicle=vehicle_id, site=default_site_file(), state=state.root, as_json=True)
    return json.loads(capsys.readouterr().out), str(caught.value)


def test_what_is_known_of_a_flight_comes_out_as_json_when_the_service_dies(tmp_path, capsys):
    with dying_after([ACCEPTED, (200, SORTIE), (200, {**SORTIE, "waypoints_reached": 4})], tmp_path) as state:
        known, line = flown_as_json(state, capsys, tmp_path)
    assert (known["sortie_id"], known["state"], known["waypoints_reached"]) == ("s1", "flying", 4)
    assert known["outcome"] == "unknown"
    assert "went away in the middle of a request" in known["outcome_note"]
    assert "d1 flies on without it" in line


def test_a_flight_that_may_have_been_handed_in_is_unknown_as_json_too(tmp_path, capsys):
    with dying_after([], tmp_path) as state:
        known, line = flown_as_json(state, capsys, tmp_path)
    assert (known["sortie_id"], known["vehicle_id"], known["state"], known["outcome"]) == (
        None, "d1", "unknown", "unknown",
    )  # fmt: skip
    assert "may have been handed in" in line


def test_when_one_cannot_be_taken_those_that_fly_are_named(tmp_path):
    answers = [ACCEPTED, (200, SORTIE), (503, {"detail": "the disk is full"})]
    with dying_after(answers, tmp_path) as state:
        client = ServiceClient(state, timeout_s=10.0)
        orders = [Ordered(Path(f"{v}.plan"), {}, v, 0.0) for v in ("d1", "d2")]
        flown = FlySet(client, orders, {"reason": "a test"}, quiet=True)
        with pytest.raises(UnavailableError, match=r"the disk is full; d1 goes on: `dronectl hold d1` or"):
            flown.run(wait=True)
        with pytest.raises(UnavailableError):
            client.get("/x")
    known = [r.document() for r in flown.results]
    assert [(k["state"], k["detail"], k["outcome"]) for k in known] == [
        ("flying", "", None),
        ("failed", "the disk is full", None),
    ]


def test_a_service_that_hangs_is_said_to_hang(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        state = StateDir(tmp_path)
        state.service_file.parent.mkdir(parents=True, exist_ok=True)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        state.service_file.write_text(json.dumps({"url": url}), encoding="utf-8")
        state.token.write_text("t", encoding="ascii")
        with pytest.raises(ServiceLostError, match=r"gave no answer within 0\.2 s") as caught:
            ServiceClient(state, timeout_s=0.2).get("/api/v1/vehicles")
    assert caught.value.asked


def test_an_order_whose_service_dies_can_be_given_directly(tmp_path, capsys):
    with dying_after([], tmp_path) as state, pytest.raises(UnavailableError) as caught:
        vehicles.hold("d1", site=default_site_file(), state=state.root)
    assert "whether the order was carried out is not known; `dronectl hold d1 --direct`" in str(caught.value)
    with dying_after([], tmp_path) as state, pytest.raises(UnavailableError):
        vehicles.hold("d1", site=default_site_file(), state=state.root, as_json=True)
    (known,) = json.loads(capsys.readouterr().out)
    assert (known["vehicle_id"], known["ok"], known["confirmed"]) == ("d1", None, False)
    with pytest.raises(UnavailableError) as caught:
        vehicles.land(every=True, site=default_site_file(), state=tmp_path / "nobody")
    assert "no service runs for this site" in str(caught.value)
    assert "`dronectl land --all --direct` orders it without the service" in str(caught.value)
    assert "not known" not in str(caught.value)


async def test_a_demonstration_says_how_its_service_ended(tmp_path):
    log = tmp_path / "service.log"
    log.write_text("its last words", encoding="utf-8")
    error = ServiceLostError("the service is gone", asked=True)
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
    said = str(await lost(error, Child("service", ended, log)))
    assert "service ended with code 7" in said
    assert "its last words" in said


def test_a_plan_that_is_refused_is_named_by_its_file_and_vehicle(tmp_path):
    answers = [(422, {"detail": "the fence is not the site's"})] * 2
    with dying_after(answers, tmp_path) as state:
        client = ServiceClient(state, timeout_s=10.0)
        orders = [Ordered(tmp_path / f"{v}.plan", {}, v, 0.0) for v in ("d1", "d2")]
        flown = FlySet(client, orders, {"reason": "a test"}, quiet=True)
        flown.run(wait=True)
        with pytest.raises(UnavailableError):
            client.get("/api/v1/vehicles")
    for order, result in zip(orders, flown.results, strict=True):
        assert result.refusal == f"{order.file}: refused for {order.vehicle_id}: the fence is not the site's"


def test_the_client_tells_a_refusal_from_a_loss(tmp_path):
    with dying_after([(422, {"detail": "no"}), (503, {"detail": "not now"})], tmp_path) as state:
        client = ServiceClient(state, timeout_s=10.0)
        with pytest.raises(BadInputError, match="no"):
            client.get("/x")
        with pytest.raises(UnavailableError, match="not now") as caught:
            client.get("/x")
        assert not isinstance(caught.value, ServiceLostError)
        with pytest.raises(ServiceLostError):
            client.get("/x")
