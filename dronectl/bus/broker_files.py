# SPDX-License-Identifier: AGPL-3.0-or-later
"""The files of our own broker in its run directory: users, mosquitto's configuration, passwords and access list.

Everything is readable by its owner alone. `broker.json` tells our own programs where the broker is and who they are
to it; it is kept over restarts, so that a dispatch system that once was given its user stays connected.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pwd
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dronectl.bus.envelope import MAX_PAYLOAD_BYTES
from dronectl.bus.topics import Topics
from dronectl.errors import BadInputError

ROLES: Final = ("service", "dispatch")
_ITERATIONS: Final = 1000  # the passwords are random; stretching them gains nothing
_MAX_QUEUED: Final = 100_000
_MAX_QUEUED_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class User:
    """One user of the broker."""

    username: str
    password: str


def write_private(path: Path, text: str) -> None:
    """Write a file for its owner's eyes, whole or not at all."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_or_make_users(path: Path) -> tuple[dict[str, User], int | None]:
    """The users and the port of an earlier run, or new users. Raises BadInputError for a file that is not ours."""
    try:
        document = json.loads(path.read_bytes())
        users = {role: User(**document["users"][role]) for role in ROLES}
        return users, int(document["port"])
    except FileNotFoundError:
        return {role: User(role, secrets.token_urlsafe(24)) for role in ROLES}, None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise BadInputError(f"{path}: not a broker.json of dronectl: move it away ({type(error).__name__})") from None


def write_access(path: Path, host: str, port: int, kind: str, users: dict[str, User]) -> None:
    """Write `broker.json`."""
    document = {
        "schema_version": 1,
        "host": host,
        "port": port,
        "kind": kind,
        "users": {role: {"username": u.username, "password": u.password} for role, u in users.items()},
    }
    write_private(path, json.dumps(document, indent=2) + "\n")


def may(site_id: str) -> dict[str, tuple[list[str], list[str]]]:
    """Role -> (topics it may read, topics it may write)."""
    topics = Topics(site_id)
    everything = f"{topics.root}/#"
    answers = [topics.ack("x").replace("/x/", "/+/"), topics.action("x").replace("/x/", "/+/")]
    return {"service": ([everything], [everything]), "dispatch": ([everything], answers)}


def mosquitto_hash(password: str, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    """A password as mosquitto's password file holds it: `$7$`, PBKDF2 over HMAC-SHA-512."""
    salt = salt or secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def write_mosquitto(folder: Path, site_id: str, port: int, users: dict[str, User]) -> tuple[Path, ...]:
    """Write mosquitto's files; returns their paths, the configuration's first."""
    passwords = "".join(f"{user.username}:{mosquitto_hash(user.password)}\n" for user in users.values())
    password_file, acl_file, path = (folder / f"mosquitto.{kind}" for kind in ("passwd", "acl", "conf"))
    write_private(password_file, passwords)
    rights = []
    for role, (reads, writes) in may(site_id).items():
        rights.append(f"user {users[role].username}")
        rights += [f"topic read {topic}" for topic in reads]
        rights += [f"topic write {topic}" for topic in writes]
    write_private(acl_file, "\n".join(rights) + "\n")
    lines = (
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {password_file}",
        f"acl_file {acl_file}",
        f"user {pwd.getpwuid(os.geteuid()).pw_name}",  # started as root it would become another user
        "persistence true",
        f"persistence_location {folder}/",
        "persistence_file mosquitto.db",
        "autosave_interval 10",
        "persistent_client_expiration 14d",
        f"max_queued_messages {_MAX_QUEUED}",
        f"max_queued_bytes {_MAX_QUEUED_BYTES}",
        f"message_size_limit {MAX_PAYLOAD_BYTES}",
        "max_inflight_messages 100",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    )
    write_private(path, "\n".join(lines) + "\n")
    return path, password_file, acl_file
