# SPDX-License-Identifier: AGPL-3.0-or-later
"""The second renderer of cold country: its camera, its bodies, and what of them is labelled."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.train import card, wild
from vision.train.augment import AugmentConfig, augment, calmer
from vision.train.job import Job
from vision.train.provenance import command
from vision.train.train_config import TrainConfig
from vision.train.wild import country, wild_picture
from vision.train.wild_eye import Eye, eye
from vision.train.wild_figures import GAME, Part, beast, patch, person, plain
from vision.train.wild_land import View, surface
from vision.train.wild_sensor import developed
from vision.train.wild_trees import Canopy


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0, 640), st.floats(0, 512))
def test_a_place_on_the_ground_is_seen_where_its_pixel_looks(seed: int, u: float, v: float) -> None:
    looks = eye(np.random.default_rng(seed), 640, 512, (3.0, 34.0))
    x, y = looks.under(u, v)
    pixels, _ = looks.project(np.array([[x, y, 0.0]]))
    assert pixels[0] == pytest.approx((u, v), abs=1e-6)
    onto = looks.onto_ground() @ (u - 0.5, v - 0.5, 1.0)  # the homography begins in the middle of pixel 0, 0
    assert onto[:2] / onto[2] == pytest.approx((x, y), rel=1e-9, abs=1e-6)


def test_a_man_of_one_point_eight_metres_has_his_height_in_pixels() -> None:
    level = Eye(640, 512, 800.0, 20.0, math.radians(30))
    man = [Part(np.zeros(3), np.array([0.0, 0.0, 1.8]), 0.05, 0.05, 1.0)]
    drawn = patch(np.random.default_rng(0), level, man, level.under(320, 256))
    rows = np.nonzero((drawn.cover > 0.5).any(axis=1))[0]
    # 40 m away along the axis, seen 30 degrees from the side
    assert rows.max() - rows.min() == pytest.approx((1.8 * math.cos(math.radians(30)) + 0.1) * 800 / 40, rel=0.06)


def test_textures_lie_on_the_ground_and_shrink_towards_the_horizon() -> None:
    far = Eye(640, 512, 700.0, 60.0, math.radians(35))
    laid = View(far).laid(np.random.default_rng(1), surface(3), 900.0)
    near_rows, far_rows = laid[-120:], laid[:120]
    assert np.abs(np.diff(far_rows, axis=1)).mean() > 1.5 * np.abs(np.diff(near_rows, axis=1)).mean()


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000))
def test_wild_pictures_hold_their_boxes_and_come_again(seed: int) -> None:
    image, boxes = wild_picture(np.random.default_rng(seed), 640, 512)
    assert image.shape == (512, 640)
    assert image.dtype == np.uint8
    assert np.isin(boxes[:, 0], (0, 1)).all()
    assert (boxes[:, 1:3] >= 0).all()
    assert (boxes[:, 3] <= 640).all()
    assert (boxes[:, 4] <= 512).all()
    assert (boxes[:, 3:] > boxes[:, 1:3]).all()
    again, same = wild_picture(np.random.default_rng(seed), 640, 512)
    assert (again == image).all()
    assert (same == boxes).all()


def test_labelled_people_are_warmer_than_what_is_round_them() -> None:
    lifted = []
    for seed in range(60):
        image, boxes = wild_picture(np.random.default_rng([7, seed]), 640, 512)
        for _, left, top, right, bottom in boxes[boxes[:, 0] == 0].astype(int):
            inner = image[top:bottom, left:right]
            ring = image[max(top - 12, 0) : bottom + 12, max(left - 12, 0) : right + 12]
            lifted.append(float(np.percentile(inner, 85)) - float(np.median(ring)))
    assert len(lifted) > 60
    assert min(lifted) > 0
    assert np.median(lifted) > 25


def test_whom_boughs_hide_is_neither_seen_nor_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def everywhere(_rng: np.random.Generator, canopy: Canopy, _warm: float) -> None:
        canopy.degrees[:] = 0.0

    seeds = range(12)
    assert any(country(np.random.default_rng(seed), 320, 256).people for seed in seeds)
    monkeypatch.setattr(wild, "plant", everywhere)
    hidden = [country(np.random.default_rng(seed), 320, 256) for seed in seeds]
    assert not any(made.people or made.animals for made in hidden)
    assert any(made.unsure for made in hidden)


def test_half_hidden_people_are_boxed_as_far_as_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    def left_half(_rng: np.random.Generator, canopy: Canopy, _warm: float) -> None:
        canopy.degrees[:, :160] = 0.0

    monkeypatch.setattr(wild, "plant", left_half)
    monkeypatch.setattr(wild, "grow", lambda *_: None)
    boxes = [box for seed in range(40) for box in country(np.random.default_rng(seed), 320, 256).people]
    assert any(box[0] == 160 for box in boxes)  # cut at the edge of the wood
    assert all(box[0] >= 160 for box in boxes)


@pytest.mark.parametrize("kind", GAME)
def test_game_stands_on_the_ground_in_its_own_size(kind: str) -> None:
    long = {"deer": 2.2, "boar": 1.6, "sheep": 1.4, "cow": 2.9, "dog": 1.1, "hare": 0.6, "bird": 0.7}[kind]
    for seed in range(20):
        parts = beast(np.random.default_rng(seed), kind)
        ends = np.array([end for p in parts for end in (p.a, p.b)])
        assert ends[:, 2].min() > -0.1
        assert np.ptp(ends[:, :2], axis=0).max() < long


def test_people_are_of_their_size_and_heads_are_warmer_than_packs() -> None:
    for seed in range(60):
        parts, posture = person(np.random.default_rng(seed))
        ends = np.array([end for p in parts for end in (p.a, p.b)])
        assert 0.5 < np.ptp(ends, axis=0).max() < 2.4, posture
        assert all(0 <= p.warmth < 1.4 for p in parts)


def test_far_off_people_are_spots_of_the_length_asked_for() -> None:
    for seed in range(40):
        spot = plain(np.random.default_rng(seed), 10.0, (50.0, 50.0))
        rows, columns = np.nonzero(spot.cover > 0.25)
        assert 3 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 13
        assert abs(spot.left + columns.mean() - 50) < 2


def test_gentle_development_is_what_the_detector_makes_of_raw_counts() -> None:
    counts = np.tile(np.linspace(-3, 9, 640, dtype=np.float32), (512, 1))
    grey = developed(np.random.default_rng(0), counts, gently=True)
    low, high = np.percentile(counts[::3, ::3], (1, 99.5))
    assert np.abs(grey.astype(float) - np.clip((counts - low) / (high - low) * 255, 0, 255)).max() <= 1


def test_a_share_of_the_training_is_of_this_renderer_and_the_end_has_less_of_it() -> None:
    grey = np.full((512, 640), 77, np.uint8)
    none = np.zeros((0, 5), np.float32)
    plainly = replace(
        AugmentConfig(), p_wild=0.5, p_gain=0, p_gamma=0, p_blur=0, p_noise=0, p_stripes=0, p_stretch=0, p_scale=0
    )

    def share(config: AugmentConfig) -> float:
        rng = np.random.default_rng(5)
        levels = (set(np.unique(augment(grey, none, 640, 512, rng, config)[0])) for _ in range(80))
        return sum(not found <= {77, *range(77, 115)} for found in levels) / 80

    assert share(replace(plainly, p_wild=0.0)) == 0.0
    assert 0.35 < share(plainly) < 0.65
    assert share(calmer(plainly)) < share(plainly)


def test_the_card_and_its_command_tell_of_both_renderers_and_of_the_calm_end() -> None:
    config = {"augment": {"p_cold": 0.2, "p_wild": 0.25}, "calm": 0.13}
    told = "\n".join(card._rendered(config))
    assert "20% of these, pictures of cold wilderness rendered by `vision/train/cold.py`" in told
    assert "25% of these, pictures of cold wilderness rendered by `vision/train/wild.py`" in told
    assert "in the last 13% of the training" in told
    assert card._rendered({"augment": {"p_cold": 0.0}, "calm": 0.13}) == []  # an older record, or a town's model
    made = TrainConfig(minutes=8.5, calm=0.13, augment=AugmentConfig(p_cold=0.2, p_wild=0.25))
    spot = Path("x")
    told = command(Job("hituav", spot, spot, spot, spot, made), asdict(made))
    assert "--cold 0.2 \\\n  --wild 0.25 \\\n  --calm 0.13" in told
