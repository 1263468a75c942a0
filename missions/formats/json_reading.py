# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reading JSON documents so that every refusal names the file and the place in it ("mission.items[3].params[4]")."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from missions.errors import PlanError
from missions.geo import GeoError, GeoPoint

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # an escaped half of a character beyond the first 65,536


def parse_json(text: str, source: str) -> Any:
    """Parse JSON; PlanError names the line. NaN and Infinity are no JSON."""

    def constant(name: str) -> NoReturn:
        raise PlanError(f"{source}: holds the number {name}, which is no JSON; write null or a number")

    try:
        value = json.loads(text, parse_constant=constant)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise PlanError(f"{source}: holds half a character, {error.object[error.start]!a}; write it whole") from error
    except json.JSONDecodeError as error:
        raise PlanError(f"{source}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
    except ValueError as error:  # a number of thousands of digits
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{source}: not JSON: {error}") from error
    except RecursionError as error:
        raise PlanError(f"{source}: is nested too deeply to be a plan") from error
    return value


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document and the place where it stands."""

    source: str
    path: str
    value: Any

    def fail(self, message: str) -> NoReturn:
        where = f"{self.source}: {self.path}" if self.path else self.source
        raise PlanError(f"{where}: {message}")

    def get(self, key: str) -> Node:
        """A member of an object; missing is an error."""
        if not isinstance(self.value, dict):
            self.fail("must be an object")
        if key not in self.value:
            self.fail(f"lacks {key!r}")
        return Node(self.source, f"{self.path}.{key}" if self.path else key, self.value[key])

    def find(self, key: str) -> Node | None:
        """A member of an object, or None when it is missing or null."""
        if not isinstance(self.value, dict):
            self.fail("must be an object")
        return None if self.value.get(key) is None else self.get(key)

    def items(self) -> list[Node]:
        if not isinstance(self.value, list):
            self.fail("must be a list")
        return [Node(self.source, f"{self.path}[{i}]", v) for i, v in enumerate(self.value)]

    def number(self) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            self.fail(f"must be a number, not {json.dumps(self.value)[:40]}")
        try:
            number = float(self.value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.fail("is too large a number")
        return number

    def whole(self) -> int:
        number = self.number()
        if number != int(number):
            self.fail(f"must be a whole number, not {number}")
        return int(number)

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.fail(f"must be text, not {json.dumps(self.value)[:40]}")
        return str(self.value)

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            self.fail("must be true or false")
        return bool(self.value)

    def json(self) -> str:
        """The value as it would be written."""
        return json.dumps(self.value, ensure_ascii=False, sort_keys=True)

    def place(self) -> GeoPoint:
        """[latitude, longitude, ...] in degrees."""
        values = self.items()
        if len(values) < 2:
            self.fail("must be [latitude, longitude]")
        return self.geo(values[0], values[1])

    def geo(self, latitude: Node, longitude: Node) -> GeoPoint:
        try:
            return GeoPoint(latitude.number(), longitude.number())
        except GeoError as error:
            self.fail(str(error))
