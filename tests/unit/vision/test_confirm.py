# SPDX-License-Identifier: AGPL-3.0-or-later
"""What several looks at one thing make of it, by the rules alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.vision.seen import FIRE, PERSON, SPOT, WEAK
from vision.confirm import ConfirmSettings, judge
from vision.sighting import Kind
from vision.unite import Observation


def test_the_rules_say_why() -> None:
    verdict = judge([PERSON, None, PERSON, None, PERSON])
    assert verdict is not None
    assert verdict.kind is Kind.PERSON
    assert verdict.rule == "person: 3 of 5 looks, learned 0.62 and hot spot 7.1 sigma"
    assert judge([PERSON, PERSON]) is not None  # strong, and both detectors agree
    assert judge([PERSON]) is None
    assert judge([None, PERSON, None, PERSON]) is not None
    assert judge([WEAK, WEAK, WEAK]) is None
    spot = judge([SPOT, SPOT, SPOT])
    assert spot is not None
    assert spot.kind is Kind.HOT_SPOT
    assert spot.confidence < 0.5
    assert "says nothing" in spot.rule
    assert judge([SPOT, None, None, SPOT, None]) is None
    fire = judge([FIRE, None, FIRE])
    assert fire is not None
    assert fire.kind is Kind.FIRE
    assert "400 C" in fire.rule
    assert judge([FIRE]) is None
    assert judge([]) is None
    assert judge([None, None]) is None


def test_a_spot_once_called_a_person_by_chance_stays_a_spot() -> None:
    verdict = judge([SPOT, SPOT, PERSON, SPOT, SPOT])
    assert verdict is not None
    assert verdict.kind is Kind.HOT_SPOT


def test_a_growing_fire_is_said_to_grow() -> None:
    looks = [Observation(0, 0, 9, 9, fire=True, temperature_max_c=300.0, area_px=a) for a in (20, 40, 80)]
    verdict = judge(looks)
    assert verdict is not None
    assert "growing from 20 to 80" in verdict.rule


looks = st.lists(st.sampled_from([None, PERSON, WEAK, SPOT, FIRE]), max_size=12)


@given(looks)
def test_verdicts_are_in_range_and_need_evidence_of_their_kind(window: list[Observation | None]) -> None:
    verdict = judge(window)
    if verdict is None:
        return
    recent = [o for o in window[-5:] if o is not None]
    assert 0 < verdict.confidence < 1
    assert verdict.rule.startswith(verdict.kind.value.replace("_", " "))
    if verdict.kind is Kind.FIRE:
        assert sum(o.fire for o in recent) >= 2
    if verdict.kind is Kind.PERSON:
        assert sum(o.learned_kind is Kind.PERSON for o in recent) >= 2
    if verdict.kind is Kind.HOT_SPOT:
        assert sum(o.hot_sigma > 0 for o in recent) >= 3


@given(looks)
def test_one_more_good_look_never_takes_a_person_away(window: list[Observation | None]) -> None:
    before = judge(window)
    if before is not None and before.kind is Kind.PERSON:
        after = judge([*window, PERSON])
        assert after is not None
        assert after.kind is Kind.PERSON


def test_settings_change_k_of_n() -> None:
    strict = ConfirmSettings(looks=4, chances=6, strong_score=0.99)
    assert judge([PERSON] * 3, strict) is None
    assert judge([PERSON] * 4, strict) is not None


def body(contrast: float, long_m: float, wide_m: float, hottest: float = 24.0, **more: object) -> Observation:
    """A spot with the ellipse's axes given, at 8 cm per pixel."""
    pixels = round(np.pi / 4 * long_m * wide_m / 0.08**2)
    return Observation(
        0, 0, long_m / 0.08, wide_m / 0.08, hot_sigma=20.0, contrast_c=contrast, area_px=pixels,
        elongation=long_m / wide_m, temperature_max_c=hottest, size_m=long_m, detectors=("h",), **more,  # type: ignore[arg-type]
    )  # fmt: skip


PEOPLE = {
    "lying": body(7.5, 1.7, 0.5),
    "half covered": body(6.5, 0.9, 0.45),
    "standing, from above": body(8.0, 0.55, 0.42),
    "curled up": body(6.6, 0.95, 0.5),
}
OTHERS = {
    "stone": body(3.8, 1.0, 0.8),
    "boulder": body(6.0, 2.0, 1.6),
    "goat": body(5.6, 0.85, 0.32),
    "bonnet": body(9.0, 1.5, 0.66),
    "machine": body(9.0, 0.6, 0.45, hottest=70.0),
}


@pytest.mark.parametrize("name", sorted(PEOPLE))
def test_a_warm_body_is_called_a_person_of_little_confidence(name: str) -> None:
    verdict = judge([PEOPLE[name]] * 3)
    assert verdict is not None
    assert verdict.kind is Kind.PERSON
    assert verdict.confidence <= 0.6
    assert "may be an animal" in verdict.rule
    assert judge([PEOPLE[name]] * 2) is None
    learned = judge([PERSON] * 3)
    assert learned is not None
    assert learned.confidence > verdict.confidence


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_other_warm_things_stay_hot_spots(name: str) -> None:
    verdict = judge([OTHERS[name]] * 5)
    assert verdict is not None
    assert verdict.kind is Kind.HOT_SPOT


def test_a_warm_body_on_a_vehicle_or_without_degrees_is_no_person() -> None:
    car = Observation(0, 0, 60, 25, learned_kind=Kind.VEHICLE, learned_score=0.3, detectors=("m",))
    lying = PEOPLE["lying"]
    verdict = judge([car, lying, lying, lying])
    assert verdict is not None
    assert verdict.kind is Kind.HOT_SPOT
    grey = judge([replace(lying, contrast_c=None, temperature_max_c=None)] * 3)
    assert grey is not None
    assert grey.kind is Kind.HOT_SPOT


def test_what_the_network_calls_a_person_on_cold_ground_must_be_warmer_than_a_stone() -> None:
    def told(contrast: float, ground: float, score: float) -> Kind:
        spot = replace(
            body(contrast, 0.9, 0.6, hottest=ground + contrast), learned_kind=Kind.PERSON, learned_score=score
        )
        verdict = judge([spot] * 3)
        assert verdict is not None
        return verdict.kind

    assert told(3.0, 13.0, 0.6) is Kind.HOT_SPOT  # still told, as what it is
    assert told(3.0, 13.0, 0.8) is Kind.PERSON  # shape enough
    assert told(4.0, 13.0, 0.6) is Kind.PERSON
    assert told(4.0, -15.0, 0.6) is Kind.PERSON  # thick clothes: no more is asked in the frost
    assert told(1.5, 27.0, 0.6) is Kind.PERSON  # on warm ground nobody stands out
    assert told(-2.0, 40.0, 0.6) is Kind.PERSON  # on hot ground people are the cooler ones


def test_what_the_network_calls_a_person_must_have_the_outline_of_one_where_warmth_shows_it() -> None:
    def called(spot: Observation) -> Observation:
        return replace(spot, learned_kind=Kind.PERSON, learned_score=0.6)

    for name in ("lying", "curled up", "standing, from above"):
        verdict = judge([called(PEOPLE[name])] * 3)
        assert verdict is not None
        assert verdict.rule.startswith("person: ")
    for name in ("boulder", "bonnet"):
        verdict = judge([called(OTHERS[name])] * 5)
        assert verdict is None or verdict.kind is Kind.HOT_SPOT
