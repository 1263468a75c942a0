# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tiles: every pixel in one, a full sweep in time, a thing cut by seams comes out once, what was left out is stated."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.detector import Detection
from vision.frame import Frame, PixelKind
from vision.sighting import Kind
from vision.sweep import Sweep
from vision.tiled import Interest, TiledDetector
from vision.tiles import Piece, Tile, TilePlan, TileSettings, cut_sides, merge_pieces, plan_tiles, unseen

UNHURRIED = settings(deadline=None, max_examples=60)
sizes = st.tuples(st.integers(100, 2400), st.integers(100, 2400))
inputs = st.sampled_from([(512, 640), (640, 640), (320, 320)])
gsds = st.one_of(st.none(), st.floats(0.005, 0.3))


def _mask(plan: TilePlan, tiles: list[Tile]) -> np.ndarray:
    mask = np.zeros((plan.height_px, plan.width_px), dtype=np.int32)
    for t in tiles:
        mask[t.top_px : t.bottom_px, t.left_px : t.right_px] += 1
    return mask


@UNHURRIED
@given(sizes, inputs, gsds)
def test_every_pixel_lies_in_a_tile_and_every_tile_fits_the_network(size, input_size, gsd):
    plan = plan_tiles(size, input_size, gsd, TileSettings())
    assert _mask(plan, list(plan.tiles)).min() >= 1
    for t in plan.tiles:
        assert 0 <= t.left_px < t.right_px <= size[1]
        assert 0 <= t.top_px < t.bottom_px <= size[0]
        assert (t.right_px - t.left_px) * plan.scale <= input_size[1] + 1
        assert (t.bottom_px - t.top_px) * plan.scale <= input_size[0] + 1


@UNHURRIED
@given(sizes, inputs, st.floats(0.005, 0.1))
def test_a_figure_is_as_large_as_asked_on_the_input(size, input_size, gsd):
    s = TileSettings()
    plan = plan_tiles(size, input_size, gsd, s)
    figure_px = s.figure_m / gsd * plan.scale
    if plan.scale < 3.0:
        assert figure_px >= s.figure_min_px - 1e-6
    if len(plan.tiles) > 1:
        assert figure_px <= s.figure_max_px + 1e-6


def test_the_models_own_range_goes_before_the_pixels():
    plan = plan_tiles((1080, 1920), (512, 640), 0.02, TileSettings(), (0.04, 0.12))
    assert 0.02 / plan.scale >= 0.04 - 1e-9
    assert len(plan_tiles((512, 640), (512, 640), 0.08, TileSettings(), (0.04, 0.12)).tiles) > 1
    assert len(plan_tiles((512, 640), (512, 640), 0.03, TileSettings()).tiles) == 1


@UNHURRIED
@given(sizes, st.floats(0.01, 0.1))
def test_neighbours_overlap_by_a_person(size, gsd):
    plan = plan_tiles(size, (640, 640), gsd, TileSettings())
    lefts = sorted({t.left_px for t in plan.tiles})
    wide = plan.tiles[0].right_px - plan.tiles[0].left_px
    wanted = min(max(0.1 * wide, 2.0 / gsd), wide / 2)
    for a, b in itertools.pairwise(lefts):
        assert a + wide - b >= wanted - 1.5


@pytest.mark.parametrize("bad", [{"overlap": 0.7}, {"figure_m": 0.0}, {"per_frame": 0}, {"sweep_frames": 0}])
def test_settings_that_cannot_be(bad):
    with pytest.raises(ValueError, match=r"tiles overlap|a figure|a sweep"):
        TileSettings(**bad)


@UNHURRIED
@given(
    st.integers(1, 40), st.one_of(st.none(), st.integers(1, 50)), st.integers(1, 12), st.randoms(use_true_random=False)
)
def test_a_full_sweep_within_the_promised_frames_whatever_calls_for_attention(tiles, per_frame, sweep_frames, rng):
    s = TileSettings(per_frame=per_frame, sweep_frames=sweep_frames)
    sweep = Sweep(tiles, s)
    limit = tiles if per_frame is None else min(per_frame, tiles)
    if limit * sweep_frames >= tiles:
        assert sweep.promised_frames <= sweep_frames
    last = dict.fromkeys(range(tiles), -1)
    loud = np.zeros(tiles)
    loud[rng.randrange(tiles)] = 1e9
    for frame in range(4 * sweep.promised_frames + 5):
        noise = loud if rng.random() < 0.7 else np.array([rng.random() for _ in range(tiles)])
        chosen = sweep.choose(noise)
        assert len(chosen) == len(set(chosen)) <= limit
        for tile in chosen:
            last[tile] = frame
        if frame + 1 >= sweep.promised_frames:
            assert min(last.values()) > frame - sweep.promised_frames


def test_what_is_left_of_the_time_goes_where_something_calls():
    sweep = Sweep(12, TileSettings(per_frame=3, sweep_frames=12))
    interest = np.zeros(12)
    interest[[4, 9]] = 5.0
    assert all({4, 9} <= set(sweep.choose(interest)) for _ in range(20))


@given(sizes, st.floats(0.01, 0.05), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_what_was_not_looked_at_is_exact_and_in_pieces_that_do_not_overlap(size, gsd, rng):
    plan = plan_tiles(size, (320, 320), gsd, TileSettings())
    chosen = [i for i in range(len(plan.tiles)) if rng.random() < 0.4]
    left_out, fraction = unseen(plan, chosen)
    seen = _mask(plan, [plan.tiles[i] for i in chosen])
    missing = _mask(plan, left_out)
    assert np.array_equal(missing, (seen == 0).astype(np.int32))
    assert fraction == pytest.approx(float((seen == 0).mean()))


def _pieces(plan, objects, least=0.3):
    """What a perfect network gives: in each tile the visible part of a thing, if enough of it is visible."""
    found = []
    for index, t in enumerate(plan.tiles):
        for left, top, right, bottom in objects:
            x0, y0, x1, y1 = max(left, t.left_px), max(top, t.top_px), min(right, t.right_px), min(bottom, t.bottom_px)
            if x1 - x0 < 3 or y1 - y0 < 3 or (x1 - x0) * (y1 - y0) < least * (right - left) * (bottom - top):
                continue
            corners = (float(x0), float(y0), float(x1), float(y1))
            found.append(Piece(corners, 0.9, "person", index, cut_sides(corners, t, plan, 1.0)))
    return found


@UNHURRIED
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 6), st.integers(8, 100), st.integers(8, 100)), max_size=8), st.integers(0, 120), st.integers(0, 120))  # fmt: skip
def test_a_thing_cut_by_seams_comes_out_once_and_whole(things, dx, dy):
    plan = plan_tiles((1080, 1920), (512, 640), 0.03, TileSettings(longest_m=0.0, figure_max_px=24.0))
    assert len(plan.tiles) >= 6
    # on a grid of 140 px, so that things never touch
    objects = sorted({(140 * i + dx, 140 * j + dy, 140 * i + dx + w, 140 * j + dy + h) for i, j, w, h in {(t[0], t[1]): t for t in things}.values()})  # fmt: skip
    objects = [o for o in objects if o[2] <= 1920 and o[3] <= 1080]
    merged = merge_pieces(_pieces(plan, objects))
    assert sorted(piece.corners_px for piece, _ in merged) == [tuple(map(float, o)) for o in objects]


def test_a_thing_longer_than_the_overlap_is_put_together():
    plan = TilePlan(300, 100, 1.0, (Tile(0, 0, 160, 100), Tile(140, 0, 300, 100)))
    merged = merge_pieces(_pieces(plan, [(60, 40, 240, 60)]))
    assert [piece.corners_px for piece, _ in merged] == [(60.0, 40.0, 240.0, 60.0)]


def test_two_who_stand_side_by_side_in_one_tile_stay_two():
    plan = TilePlan(300, 100, 1.0, (Tile(0, 0, 160, 100), Tile(140, 0, 300, 100)))
    assert len(merge_pieces(_pieces(plan, [(144, 10, 150, 40), (150, 10, 156, 40)]))) == 2
    assert len(merge_pieces(_pieces(plan, [(60, 10, 90, 40), (70, 12, 88, 40)]))) == 2


class Bright:
    """A real, small detector: connected bright patches are people."""

    name = "bright"

    def __init__(self):
        self.gsds = []
        self.shapes = []

    def detect(self, frame, gsd_m):
        self.gsds.append(gsd_m)
        self.shapes.append(frame.pixels.shape)
        grey = frame.pixels if frame.pixels.ndim == 2 else frame.pixels.max(axis=2)
        _, _, stats, _ = cv2.connectedComponentsWithStats((grey > 128).astype(np.uint8))
        return [
            Detection(float(x), float(y), float(x + w), float(y + h), Kind.PERSON, 0.8, "bright")
            for x, y, w, h, _area in stats[1:]
        ]


@given(st.integers(0, 1880), st.integers(0, 1030), st.integers(14, 40), st.integers(14, 40))
@settings(max_examples=25, deadline=None)
def test_the_tiled_detector_finds_a_figure_once_wherever_it_lies(x, y, w, h):
    pixels = np.zeros((1080, 1920), np.uint8)
    pixels[y : y + h, x : x + w] = 255
    inner = Bright()
    tiled = TiledDetector(inner, (512, 640))
    (box,) = tiled.detect(Frame("c", None, 0, 0.0, pixels, PixelKind.GREY8), 0.03)
    expected = (x, y, min(x + w, 1920), min(y + h, 1080))
    assert np.abs(np.subtract((box.left_px, box.top_px, box.right_px, box.bottom_px), expected)).max() <= 2.5
    assert tiled.last is not None
    assert (tiled.last.fraction_unseen, tiled.last.not_looked_at) == (0.0, ())
    assert all(0.9 / gsd >= 23.5 for gsd in inner.gsds)
    assert all(rows <= 513 and columns <= 641 for rows, columns in inner.shapes)


@pytest.mark.parametrize(("gsd", "method", "far_levels"), [(None, cv2.INTER_LINEAR, 2), (0.02, cv2.INTER_AREA, 0)])
def test_a_tile_made_smaller_shows_what_averages_over_areas_show(gsd, method, far_levels):
    """To within two grey levels where it is made a little smaller and takes the quick way, exactly where much."""

    class Keeps(Bright):
        def detect(self, frame, gsd_m):
            self.seen = [*getattr(self, "seen", []), frame.pixels]
            return super().detect(frame, gsd_m)

    noise = np.random.default_rng(3).integers(0, 256, (1080, 1920, 3)).astype(np.uint8)
    pixels = cv2.GaussianBlur(noise, (0, 0), 2.0)  # as a lens and a Bayer mosaic leave it
    pixels = cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX)
    inner = Keeps()
    tiled = TiledDetector(inner, (640, 640), TileSettings(), (None, None) if gsd is None else (0.04, None))
    tiled.detect(Frame("c", None, 0, 0.0, pixels, PixelKind.BGR8), gsd)
    look = tiled.last
    assert (look.scale > 0.75) is (gsd is None)
    assert look.scale < 1.0
    for tile, shown in zip(look.looked_at, inner.seen, strict=True):
        part = pixels[tile.top_px : tile.bottom_px, tile.left_px : tile.right_px]
        areas = cv2.resize(part, shape := (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_AREA)
        assert np.array_equal(shown, cv2.resize(part, shape, interpolation=method))
        assert shape[0] <= 641
        assert np.percentile(cv2.absdiff(areas, shown), 99.9) <= far_levels


def test_bounded_work_finds_what_moves_at_once_and_everything_within_the_sweep():
    rng = np.random.default_rng(4)
    ground = rng.integers(20, 60, (1080, 1920)).astype(np.uint8)
    tiled = TiledDetector(Bright(), (512, 640), TileSettings(per_frame=3, sweep_frames=8))
    seen_fraction = np.zeros((1080, 1920), bool)
    for k in range(10):
        pixels = ground.copy()
        pixels[500:524, 1500 + 12 * k : 1520 + 12 * k] = 250  # the one who walks
        pixels[100:124, 100:120] = 200
        boxes = tiled.detect(Frame("c", None, k, float(k), pixels, PixelKind.GREY8), 0.03)
        look = tiled.last
        assert look is not None
        assert len(look.looked_at) <= 3 < look.tiles
        assert 0.0 < look.fraction_unseen < 1.0
        assert len(look.polygons_px()) == len(look.not_looked_at)
        if k >= 2:
            assert any(b.left_px > 1400 for b in boxes)
        for t in look.looked_at:
            seen_fraction[t.top_px : t.bottom_px, t.left_px : t.right_px] = True
        if k + 1 == look.waiting_frames:
            assert seen_fraction.all()
    assert seen_fraction.all()


def test_a_height_that_wavers_does_not_begin_the_sweep_anew():
    tiled = TiledDetector(Bright(), (512, 640), TileSettings(per_frame=2, sweep_frames=8))
    looked = set()
    for k in range(8):
        tiled.detect(
            Frame("c", None, k, float(k), np.zeros((1080, 1920), np.uint8), PixelKind.GREY8), 0.03 + 0.001 * (k % 3)
        )
        looked |= {t.corners_px for t in tiled.last.looked_at}
    assert len(looked) == tiled.last.tiles


@pytest.mark.parametrize("sizes_m", [(0.03, 0.036), (0.02, 0.023, 0.027, 0.031)])
def test_a_scale_that_never_rests_does_not_begin_the_sweep_anew_either(sizes_m):
    """As over hilly ground: nothing of the picture is left out for ever."""
    tiled = TiledDetector(Bright(), (512, 640), TileSettings(per_frame=2, sweep_frames=8))
    looked, promised = np.zeros((1080, 1920), bool), 0
    for k in range(40):
        picture = Frame("c", None, k, float(k), np.zeros((1080, 1920), np.uint8), PixelKind.GREY8)
        tiled.detect(picture, sizes_m[k % len(sizes_m)])
        promised = max(promised, tiled.last.waiting_frames)
        for t in tiled.last.looked_at:
            looked[t.top_px : t.bottom_px, t.left_px : t.right_px] = True
        if k + 1 == 3 * promised:
            assert looked.all()
            looked[:] = False  # and again, and again
    assert looked.all()


def test_what_moves_against_the_ground_draws_more_than_what_is_brighter_while_the_camera_flies_on():
    rng = np.random.default_rng(9)
    ground = cv2.GaussianBlur(rng.uniform(0, 255, (1100, 2200)).astype(np.float32), (0, 0), 3)
    ground = 90 + (ground - ground.mean()) / ground.std() * 12
    for x, y in ((300, 150), (1000, 800), (1700, 200), (500, 900)):
        ground[y : y + 20, x : x + 20] = 200  # brighter than the one who walks, and still
    plan = plan_tiles((1080, 1920), (512, 640), 0.03, TileSettings())
    interest = Interest()
    for k in range(5):
        picture = ground[10 : 10 + 1080, 12 * k : 12 * k + 1920].copy()
        x, y = 1500 + 9 * k, 620
        picture[y : y + 22, x : x + 16] = 160
        values = interest.of(Frame("c", None, k, float(k), picture.astype(np.uint8), PixelKind.GREY8), plan)
        best = plan.tiles[int(np.argmax(values))]
        within = best.left_px <= x + 8 < best.right_px and best.top_px <= y + 11 < best.bottom_px
        assert within == (k > 0)  # in the first picture nothing can be seen to move
