# SPDX-License-Identifier: AGPL-3.0-or-later
"""Black-hot thermal stills."""

from __future__ import annotations

import numpy as np
import pytest

from tests.vision_cold import people, plain
from vision.detector import Detection
from vision.polarity import is_black_hot, may_be_black_hot
from vision.sighting import Kind


def found(*scores: float, kind: Kind = Kind.PERSON) -> list[Detection]:
    return [Detection(0, 0, 9, 9, kind, s, "t") for s in scores]


@pytest.mark.parametrize(
    ("straight", "negative", "bright", "dark", "black"),
    [
        (found(), found(0.6), 5.0, 9.0, True),
        (found(0.1), found(0.2, 0.6), 9.0, 10.0, True),
        (found(0.3), found(0.6), 9.0, 10.0, False),
        (found(0.3), found(0.6), 7.0, 10.0, True),
        (found(), found(0.39), 5.0, 9.0, False),
        (found(), found(0.9), 9.0, 9.0, False),
        (found(), found(0.9, kind=Kind.VEHICLE), 5.0, 9.0, False),
        (found(0.7), found(0.6), 5.0, 9.0, False),
        (found(), found(), 5.0, 9.0, False),
    ],
    ids=["nobody here", "far surer", "surer", "surer and dark", "unsure", "bright as far", "a car", "here", "nobody"],
)
def test_it_takes_somebody_in_the_negative(
    straight: list[Detection], negative: list[Detection], bright: float, dark: float, black: bool
) -> None:
    assert is_black_hot(straight, negative, bright, dark) is black


def test_whoever_is_seen_well_settles_it() -> None:
    assert may_be_black_hot(found(0.1, 0.5))
    assert may_be_black_hot(found(0.9, kind=Kind.VEHICLE))
    assert not may_be_black_hot(found(0.1, 0.7))


@pytest.mark.parametrize("seed", [1, 2, 5, 8])
def test_people_of_black_hot_pictures_are_told_of(seed: int) -> None:
    grey = plain(seed)
    assert people(np.asarray(255 - grey)) == people(grey) == [True, True]
