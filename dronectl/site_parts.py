# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the models of the site file share: names, positions, rings and paths."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from missions.geo import GeoError, GeoPoint

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


def check_position(value: object) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("a position is [latitude, longitude] in degrees")
    try:
        latitude, longitude = float(value[0]), float(value[1])
    except (TypeError, ValueError):
        raise ValueError("a position is [latitude, longitude] in degrees") from None
    try:
        GeoPoint(latitude, longitude)
    except GeoError as error:
        raise ValueError(str(error)) from None
    return latitude, longitude


Position = Annotated[tuple[float, float], Field(description="[latitude, longitude] in degrees")]


def check_ring(value: object) -> list[tuple[float, float]]:
    if not isinstance(value, list | tuple):
        raise ValueError("a ring is a list of [latitude, longitude]")  # noqa: TRY004  # pydantic wants ValueError
    points = [check_position(item) for item in value]
    if len(points) > 1 and points[0] == points[-1]:
        points.pop()
    if len(points) < 3:
        raise ValueError("a ring needs at least 3 different points")
    return points


def check_path(value: object) -> list[tuple[float, float]]:
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise ValueError("a line needs at least 2 points")
    return [check_position(item) for item in value]
