# SPDX-License-Identifier: AGPL-3.0-or-later
"""The subscriber's memory: what is on the disk was done, what a crash has torn was not. And the card for people."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.alerts.card import card
from dronectl.alerts.memory import ActionLog
from dronectl.bus.messages import Alert
from dronectl.errors import BadInputError
from dronectl.plain_text import clean


def entry(number, alert="a", sequence=1):
    return {"id": f"e{number}", "alert_id": alert, "sequence": sequence}


def test_remembers_over_restarts(tmp_path):
    path = tmp_path / "deep" / "log.jsonl"
    with ActionLog(path) as log:
        assert len(log) == 0
        log.add([entry(1), entry(2, sequence=4), entry(3, "b")])
        assert log.has("e1")
    with ActionLog(path) as log:
        assert [log.has(f"e{n}") for n in (1, 2, 3, 4)] == [True, True, True, False]
        assert (len(log), log.alerts, log.newest("a"), log.newest("b"), log.newest("c")) == (3, 2, 4, 1, 0)


@given(cut=st.integers(0, 10_000), lines=st.integers(1, 6))
def test_a_torn_end_was_not_done(tmp_path_factory, cut, lines):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    with ActionLog(path) as log:
        for number in range(lines):
            log.add([entry(number, alert=f"späher-{number}")])
    whole = path.read_bytes()
    kept = whole[: cut % (len(whole) + 1)]
    path.write_bytes(kept)
    with ActionLog(path) as log:
        done = kept.count(b"\n")
        assert [log.has(f"e{n}") for n in range(lines)] == [n < done for n in range(lines)]
        log.add([entry(n, alert=f"späher-{n}") for n in range(done, lines)])
    assert path.read_bytes() == whole
    assert [json.loads(line)["id"] for line in path.read_bytes().splitlines()] == [f"e{n}" for n in range(lines)]


@pytest.mark.parametrize(
    "content", [b"hello\n", b"[]\n", b"{}\n", b'{"id":"e","alert_id":"a","sequence":"x"}\n', b"\xff\n"]
)
def test_a_file_of_others_is_left_alone(tmp_path, content):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="line 1"), ActionLog(path):
        pass
    assert path.read_bytes() == content


def test_one_process_at_a_time(tmp_path):
    with ActionLog(tmp_path / "log"), pytest.raises(BadInputError, match="another"), ActionLog(tmp_path / "log"):
        pass
    with pytest.raises(BadInputError, match="cannot be opened"), ActionLog(tmp_path):
        pass


def test_the_card_tells_and_does_not_steer_the_terminal():
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    alert = Alert.model_validate(
        {
            "alert_id": "a-1",
            "sequence": 2,
            "phase": "update",
            "state": "accepted",
            "level": "orange",
            "kind": "person\x1b[31m",
            "site_id": "s",
            "site_status": "exercise",
            "mission_id": None,
            "incident_id": "i",
            "observed_at": now,
            "raised_at": now,
            "updated_at": now,
            "expires_at": None,
            "location": None,
            "location_missing": "no pose",
            "why": {
                "rule_id": "person-closed",
                "rule_set": "v",
                "reason": "a person in Substation",
                "confidence": 0.81,
                "looks": 4,
                "chances": 5,
                "tracks": 1,
                "confirmed_by": "3 of 5",
                "detectors": [],
                "model_sha256": [],
                "modalities": [],
                "cameras": ["c"],
                "vehicles": ["d1"],
            },
            "evidence": [{"path": "x/y.png", "sha256": "a" * 64, "width_px": 1, "height_px": 1, "role": "crop"}],
            "responders": [{"responder_id": "r", "name": "Ferry post", "distance_m": 412.4}],
            "last_action": {"event_id": "e", "action": "accept", "by": "desk\x07", "at": now},
        }
    )
    text = card(alert).plain
    assert "\x1b" not in text
    assert "\x07" not in text
    for word in (
        "ORANGE",
        "exercise",
        "no pose",
        "person-closed",
        "0.81",
        "4 of 5",
        "x/y.png",
        "Ferry post",
        "412 m",
        "desk",
    ):
        assert word in text
    assert clean("a\nb\x00") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
