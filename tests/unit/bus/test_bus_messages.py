# SPDX-License-Identifier: AGPL-3.0-or-later
"""Messages against their published schemas, topics, access, and mosquitto's password format."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronectl.bus import schema
from dronectl.bus.broker_files import mosquitto_hash
from dronectl.bus.envelope import ENVELOPES, MAX_PAYLOAD_BYTES, decode, encode
from dronectl.bus.messages import (
    Ack,
    Action,
    Alert,
    DroneState,
    DroneStatus,
    Incident,
    Level,
    ServiceStatus,
    Telemetry,
)
from dronectl.bus.settings import BrokerAccess, access_from
from dronectl.bus.topics import Topics
from dronectl.errors import BadInputError

NOW = datetime(2026, 3, 1, 20, 0, tzinfo=timezone(timedelta(hours=8)))
LOCATION = {
    "latitude_deg": 29.7,
    "longitude_deg": 107.3,
    "amsl_m": 250.0,
    "ellipse_95": {"semi_major_m": 5.0, "semi_minor_m": 3.0, "azimuth_deg": 10.0},
}
WHY = {
    "rule_id": "r",
    "rule_set": "v",
    "reason": "a person",
    "confidence": 0.8,
    "looks": 4,
    "chances": 5,
    "tracks": 1,
    "confirmed_by": "3 of 5",
    "detectors": ["d"],
    "model_sha256": [],
    "modalities": ["thermal"],
    "cameras": ["c"],
    "vehicles": ["d1"],
}
ALERT = {
    "alert_id": "a",
    "sequence": 1,
    "phase": "new",
    "state": "new",
    "level": "red",
    "kind": "fire",
    "site_id": "s",
    "site_status": "test",
    "mission_id": None,
    "incident_id": "i",
    "observed_at": NOW,
    "raised_at": NOW,
    "updated_at": NOW,
    "expires_at": None,
    "location": LOCATION,
    "why": WHY,
    "evidence": [{"path": "p", "sha256": "a" * 64, "width_px": 1, "height_px": 1, "role": "crop"}],
}
INCIDENT = {
    "incident_id": "i",
    "status": "open",
    "kind": "fire",
    "site_id": "s",
    "site_status": "test",
    "mission_id": None,
    "opened_at": NOW,
    "updated_at": NOW,
    "location": None,
    "alerts": ["a"],
    "tracks": 1,
    "vehicles": ["d1"],
    "timeline": [{"at": NOW, "what": "seen"}],
}
SAMPLES = {
    "service_status": ServiceStatus(status="online", version="1", session_id="x", site_status="test"),
    "drone_status": DroneStatus(drone_id="d1", status="offline", reason="link lost"),
    "drone_state": DroneState(drone_id="d1", connected=True, mode="hold"),
    "telemetry": Telemetry(drone_id="d1", latitude_deg=29.7, longitude_deg=107.3),
    "alert": Alert.model_validate(ALERT),
    "ack": Ack(alert_id="a", sequence=3, by="desk"),
    "action": Action(alert_id="a", action="accept", by="desk"),
    "incident": Incident.model_validate(INCIDENT),
}


def sent(name):
    return encode(name, SAMPLES[name], event_id="e1", source="/dronectl/s", time=NOW, subject="x", sequence=7)


def test_shipped_schemas_are_those_of_the_models():
    folder = Path(schema.__file__).parent / "schemas"
    shipped = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert shipped == schema.generate(), "stale: run python -m dronectl.bus.schema"


def test_the_asyncapi_document_names_every_message_and_topic():
    document = schema.read("asyncapi")
    assert set(document["channels"]) == set(ENVELOPES) == set(document["components"]["messages"])
    folder = Path(schema.__file__).parent / "schemas"
    for name, message in document["components"]["messages"].items():
        assert message["payload"]["$ref"] == f"{name}.json"
        assert (folder / f"{name}.json").is_file()
    said = {op["channel"]["$ref"].rpartition("/")[2]: op["action"] for op in document["operations"].values()}
    assert {name for name, action in said.items() if action == "receive"} == {"ack", "action"}
    topics = Topics("s")
    real = {
        topics.service_status, topics.alert("a"), topics.ack("a"), topics.action("a"), topics.incident("i"),
        *(topics.drone("d", what) for what in ("status", "state", "telemetry")),
    }  # fmt: skip
    values = {"site_id": "s", "drone_id": "d", "alert_id": "a", "incident_id": "i"}
    for channel in document["channels"].values():
        assert set(channel["parameters"]) == set(re.findall(r"{(\w+)}", channel["address"]))
    assert {c["address"].format(**values) for c in document["channels"].values()} == real


@pytest.mark.parametrize("name", sorted(ENVELOPES))
def test_messages_fit_their_schema_and_come_back(name):
    document = schema.read(name)
    jsonschema.Draft202012Validator.check_schema(document)
    validator = jsonschema.Draft202012Validator(document, format_checker=jsonschema.FormatChecker())
    message = json.loads(sent(name))
    validator.validate(message)
    assert message["specversion"] == "1.0"
    assert message["time"] == "2026-03-01T12:00:00.000Z"
    assert message["sequence"] == "0000000007"
    assert message["data"]["schema_version"] == 1
    assert decode(name, sent(name)).data == SAMPLES[name]
    for broken in ({**message, "data": {}}, {**message, "type": "other"}, {**message, "id": ""}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(broken)
        with pytest.raises(ValueError, match=r"."):
            decode(name, json.dumps(broken).encode())


def test_unset_attributes_are_left_out():
    bare = json.loads(encode("ack", SAMPLES["ack"], event_id="e", source="s", time=NOW))
    assert "sequence" not in bare
    assert "subject" not in bare


def test_what_others_send_may_carry_more():
    message = json.loads(sent("ack"))
    message["traceparent"] = "00-1"
    message["data"]["colour"] = "blue"
    assert decode("ack", json.dumps(message).encode()).data.sequence == 3


@given(st.binary(max_size=300))
def test_bytes_are_refused_as_value_errors(payload):
    for name in ENVELOPES:
        with pytest.raises(ValueError, match=r"."):
            decode(name, payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from(["id", "source", "type", "time", "data", "specversion", "subject"]), JSON)
def test_spoilt_acks_are_refused_or_sound(key, value):
    message = json.loads(sent("ack"))
    message[key] = value
    try:
        event = decode("ack", json.dumps(message).encode())
    except ValueError:
        return
    assert isinstance(event.data, Ack)
    assert event.time.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b" " * (MAX_PAYLOAD_BYTES + 1),
        sent("ack").replace(b'"sequence":3', b'"sequence":' + b"9" * 5000),
        sent("ack").replace(b"2026-03-01T12:00:00.000Z", b"0001-01-01T00:00:00+14:00"),
        sent("ack").replace(b"2026-03-01T12:00:00.000Z", b"9999-12-31T23:59:59-14:00"),
        sent("ack").replace(b"2026-03-01T12:00:00.000Z", b"2026-03-01T12:00:00"),
        sent("ack").replace(b'"desk"', b'"\\ud800"'),
    ],
)
def test_nasty_payloads(payload):
    with pytest.raises(ValueError, match=r"."):
        decode("ack", payload)


def test_levels_rise_to_red():
    assert [level.raised() for level in Level] == [*list(Level)[1:], Level.RED]


# --- topics


def test_topics_are_those_of_the_interface():
    topics = Topics("lidu")
    assert topics.service_status == "dronectl/v1/lidu/service/status"
    assert topics.drone("d1", "telemetry") == "dronectl/v1/lidu/drones/d1/telemetry"
    assert topics.ack("a") == "dronectl/v1/lidu/alerts/a/ack"
    assert topics.action("a") == "dronectl/v1/lidu/alerts/a/action"
    assert topics.incident("i") == "dronectl/v1/lidu/incidents/i"
    assert topics.parts("dronectl/v1/lidu/alerts/a/ack") == ("alerts", "a", "ack")
    assert topics.parts("dronectl/v1/lidu2/alerts/a/ack") is None


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a\x00", "$SYS"])
def test_names_that_break_out_of_a_topic_are_refused(name):
    with pytest.raises(ValueError, match="MQTT topic"):
        Topics(name)
    with pytest.raises(ValueError, match="MQTT topic"):
        Topics("s").alert(name)


# --- access


def test_access_from_a_url():
    assert access_from("mqtt://u:p%40w@127.0.0.1:2883") == BrokerAccess("127.0.0.1", 2883, "u", "p@w")
    assert access_from("mqtts://u:p@example.org").port == 8883
    assert "p@w" not in repr(access_from("mqtt://u:p%40w@127.0.0.1:2883"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("mqtt://example.org:1", "needs TLS"),
        ("mqtts://example.org", "needs TLS"),
        ("http://127.0.0.1", "mqtt"),
        ("mqtt://u:secret@127.0.0.1:99999", "u@127.0.0.1"),
        ("mqtt://u:secret@127.0.0.1/path", "u@127.0.0.1"),
        ("mqtt://u:secret@[::1", "u@"),
        ("no-such-file.json", "no such file"),
    ],
)
def test_bad_access_is_one_line_without_the_password(text, word):
    with pytest.raises(BadInputError, match=word) as error:
        access_from(text)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"users": {"dispatch": 3}}', "\x00"])
def test_a_file_that_is_no_broker_json(tmp_path, content):
    path = tmp_path / "broker.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=r"broker\.json"):
        access_from(str(path))


def test_mosquitto_hash_is_pbkdf2_sha512():
    text = mosquitto_hash("pw", base64.b64decode("iTghlKQj6XJN1dlJ"), 101)
    # made by mosquitto_passwd 2.0.11 from the same salt
    assert text == (
        "$7$101$iTghlKQj6XJN1dlJ$"
        "msWpmg1X5ms+AdeWVhw2ZmtBf83aLTNpT1irc0jRHBj1ByFTu3LM0yZvgAdWLJZvJe5EJgNc3VxZujMC9aQyQA=="
    )
    salted = mosquitto_hash("pw").split("$")
    digest = hashlib.pbkdf2_hmac("sha512", b"pw", base64.b64decode(salted[3]), int(salted[2]))
    assert base64.b64decode(salted[4]) == digest


def test_naive_times_are_refused():
    with pytest.raises(ValueError, match="timezone"):
        Alert.model_validate({**ALERT, "raised_at": datetime(2026, 1, 1)})  # noqa: DTZ001
    assert Alert.model_validate(ALERT).raised_at.tzinfo is UTC
