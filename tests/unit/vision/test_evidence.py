# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.evidence import EvidenceStore, annotate, crop
from vision.frame import Frame, PixelKind
from vision.sighting import Kind
from vision.unite import Observation

THING = Observation(300, 200, 320, 212, learned_kind=Kind.PERSON, learned_score=0.8)


def thermal() -> Frame:
    pixels = np.random.default_rng(1).normal(12, 0.5, (512, 640)).astype(np.float32)
    pixels[200:212, 300:320] = 31.0
    return Frame("t", "d1", 0, 0.0, pixels, PixelKind.CELSIUS)


def test_crop_shows_the_thing_enlarged_with_a_scale() -> None:
    picture = crop(thermal(), THING, Kind.PERSON)
    assert picture.shape[1] == 320
    assert picture.shape[0] > 320  # the scale lies below
    middle = picture[150:170, 150:170]
    assert middle.mean() > 200
    assert picture[10:60, 10:60].mean() < 60


@pytest.mark.parametrize("corner", [(0, 0), (630, 505)])
def test_crop_at_the_edge(corner: tuple[float, float]) -> None:
    x, y = corner
    picture = crop(thermal(), Observation(x, y, x + 9, y + 6), Kind.HOT_SPOT)
    assert min(picture.shape[:2]) > 50


def test_the_whole_frame_keeps_its_size_and_shows_the_box() -> None:
    frame = thermal()
    bare, boxed = annotate(frame, []), annotate(frame, [(THING, Kind.PERSON, "person 0.80")])
    assert boxed.shape == (512, 640, 3)
    changed = np.argwhere((bare != boxed).any(axis=2))
    assert changed.min(axis=0).tolist() > [170, 290]
    assert changed.max(axis=0)[1] < 420


def test_large_people_in_colour_are_blurred_and_small_ones_are_not() -> None:
    rng = np.random.default_rng(2)
    pixels = rng.integers(0, 255, (400, 400, 3), dtype=np.uint8)
    frame = Frame("c", "d1", 0, 0.0, pixels, PixelKind.BGR8)
    large = Observation(100, 100, 160, 220)
    shown = annotate(frame, [(large, Kind.PERSON, "")])
    assert shown[110:210, 110:150].astype(float).std() < 0.5 * pixels[110:210, 110:150].astype(float).std()
    head = (slice(90, 99), slice(120, 140))  # sticks out of the box
    assert shown[head].astype(float).std() < 0.5 * pixels[head].astype(float).std()
    assert np.array_equal(shown[250:, 250:], pixels[250:, 250:])
    assert np.array_equal(frame.pixels, pixels)
    small = annotate(frame, [(Observation(100, 100, 115, 118), Kind.PERSON, "")])
    assert np.array_equal(small[104:114, 104:111], pixels[104:114, 104:111])


def test_what_is_written_is_complete_and_named_by_its_hash(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "deep" / "folder")
    evidence = store.save("../run/1", "crop", crop(thermal(), THING, Kind.PERSON))
    assert evidence is not None
    assert "/" not in evidence.path
    data = (tmp_path / "deep" / "folder" / evidence.path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == evidence.sha256
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape[:2] == (evidence.height_px, evidence.width_px)
    assert [p.name for p in (tmp_path / "deep" / "folder").iterdir()] == [evidence.path]


def test_a_disk_that_takes_nothing_costs_evidence_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    store = EvidenceStore(blocked)
    picture = crop(thermal(), THING, Kind.PERSON)
    with caplog.at_level(logging.INFO):
        assert store.save("a", "crop", picture) is None
        assert store.save("b", "crop", picture) is None
        blocked.unlink()
        assert store.save("c", "crop", picture) is not None
    assert (store.lost, store.written) == (2, 1)
    assert sum("being lost" in r.message for r in caplog.records) == 1
    assert sum("written again" in r.message for r in caplog.records) == 1
