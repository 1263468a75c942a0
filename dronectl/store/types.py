# SPDX-License-Identifier: AGPL-3.0-or-later
"""Column types: UTC times as sortable ISO text, and JSON documents that say which version of their shape they have.

Both refuse on the way in what could not be read back truthfully: a naive time, a document without a version, a
number that JSON does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, String, Text
from sqlalchemy.types import TypeDecorator


def iso_utc(moment: datetime) -> str:
    """ISO 8601 with microseconds and Z, always 27 characters, so that text order is time order."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without a time zone cannot be stored: {moment!r}")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_iso_utc(text: str) -> datetime:
    """The aware UTC time of an ISO 8601 text; a text without an offset is refused."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time without an offset: {text!r}")
    return moment.astimezone(UTC)


class UtcTime(TypeDecorator[datetime]):
    """Aware datetimes in Python, `iso_utc` text in the database."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else iso_utc(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else from_iso_utc(value)


def canonical_json(document: Mapping[str, Any]) -> str:
    """One text per document: sorted keys, no spaces, no NaN. Hashes are taken over this."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class Document(TypeDecorator[dict[str, Any]]):
    """A JSON object with an integer `schema_version`, stored as canonical text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        if value is None:
            return None
        version = value.get("schema_version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise TypeError("a stored document needs an integer schema_version")
        return canonical_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002
        if value is None:
            return None
        document = json.loads(value)
        if not isinstance(document, dict):
            raise TypeError("a stored document is no JSON object")
        return document
