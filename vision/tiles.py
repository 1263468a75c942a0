# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small people in large pictures: which tiles a frame is cut into, which are looked at now, and what they found as one.

Pure. The tile size follows from the ground sample distance: a curled-up figure of 0.9 m must span 24 to 32 pixels on
the network's input. When a frame has more tiles than there is time for, a share of every frame goes to the tiles that
have waited longest, so that all are looked at within a promised number of frames; the rest go where something moves or
stands out. What was left out is given as rectangles: nobody may take it for searched.

The promise is about the picture. A camera that moves over ground faster than it sweeps leaves gaps on the ground;
those follow from the rectangles and the poses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MAX_ENLARGEMENT: Final = 3.0  # beyond it there are more pixels and nothing more to see


@dataclass(frozen=True, slots=True)
class TileSettings:
    """What tiles must be like.

    figure_m: the smallest figure that must be found, curled up. overlap: of the tile's side, at least; and at least
    longest_m, so that a thing cut by one tile lies whole in the next. per_frame: tiles looked at in one frame, at most;
    None for all. sweep_frames: all tiles are looked at within so many frames; more only where per_frame forces it.
    unknown_scale: without a ground sample distance, how far a picture may be reduced where that saves tiles.
    """

    figure_m: float = 0.9
    figure_min_px: float = 24.0
    figure_max_px: float = 32.0
    overlap: float = 0.1
    longest_m: float = 2.0
    per_frame: int | None = None
    sweep_frames: int = 8
    unknown_scale: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 < self.figure_min_px <= self.figure_max_px or self.figure_m <= 0 or self.longest_m < 0:
            raise ValueError("a figure has a size above 0, and its least pixels are not above its most")
        if not 0.0 <= self.overlap <= 0.5:
            raise ValueError(f"tiles overlap by 0 to 0.5 of their side, not {self.overlap}")
        if not 0.0 < self.unknown_scale <= 1.0:
            raise ValueError(f"a picture of unknown scale is reduced to 0 to 1 of its size, not {self.unknown_scale}")
        if self.sweep_frames < 1 or (self.per_frame is not None and self.per_frame < 1):
            raise ValueError("a sweep takes at least one frame, and a frame at least one tile")


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a picture in its own pixels; right and bottom exclusive."""

    left_px: int
    top_px: int
    right_px: int
    bottom_px: int

    @property
    def corners_px(self) -> tuple[int, int, int, int]:
        return self.left_px, self.top_px, self.right_px, self.bottom_px


@dataclass(frozen=True, slots=True)
class TilePlan:
    """All tiles of a picture, row by row, and how much each is enlarged for the network (below 1: reduced)."""

    width_px: int
    height_px: int
    scale: float
    tiles: tuple[Tile, ...]


def plan_tiles(
    size: tuple[int, int],
    input_size: tuple[int, int],
    gsd_m: float | None,
    settings: TileSettings,
    model_gsd_m: tuple[float | None, float | None] = (None, None),
) -> TilePlan:
    """The fewest tiles that show a figure large enough; with that number, the most enlargement that is allowed.

    size, input_size: (height, width) in pixels. Without a ground sample distance tiles are cut at about the network's own
    size. model_gsd_m: what the model was trained for, in metres per pixel of its input; it goes before the figure's
    pixels, because a network that never saw larger figures does not find them. The whole picture is one tile where
    that shows figures large enough.
    """
    height, width = size
    rows, columns = input_size
    if min(height, width, rows, columns) < 1 or (gsd_m is not None and gsd_m <= 0):
        raise ValueError(f"no tiles for {width} x {height} pixels at {gsd_m} m per pixel")
    whole = min(rows / height, columns / width)
    if gsd_m is None:
        low, high = settings.unknown_scale, 1.0
        overlap_px = 0.0
    else:
        low, high = _scales(gsd_m, settings, model_gsd_m)
        overlap_px = settings.longest_m / gsd_m
    if whole >= low:
        return TilePlan(width, height, whole, (Tile(0, 0, width, height),))
    counts = [
        _count(length, side / low, settings.overlap, overlap_px) for length, side in ((height, rows), (width, columns))
    ]
    scale = low
    for candidate in np.linspace(low, high, 17)[1:]:
        finer = [
            _count(length, side / candidate, settings.overlap, overlap_px)
            for length, side in ((height, rows), (width, columns))
        ]
        if finer != counts:
            break
        scale = float(candidate)
    ys = _starts(height, min(height, math.floor(rows / scale)), counts[0])
    xs = _starts(width, min(width, math.floor(columns / scale)), counts[1])
    tall, wide = min(height, math.floor(rows / scale)), min(width, math.floor(columns / scale))
    return TilePlan(width, height, scale, tuple(Tile(x, y, x + wide, y + tall) for y in ys for x in xs))


def _scales(
    gsd_m: float, settings: TileSettings, model_gsd_m: tuple[float | None, float | None]
) -> tuple[float, float]:
    """Least and most enlargement."""
    figure_px = settings.figure_m / gsd_m
    low, high = settings.figure_min_px / figure_px, settings.figure_max_px / figure_px
    finest, coarsest = model_gsd_m
    if finest is not None:
        low, high = min(low, gsd_m / finest), min(high, gsd_m / finest)
    if coarsest is not None:
        low, high = max(low, gsd_m / coarsest), max(high, gsd_m / coarsest)
    return min(low, _MAX_ENLARGEMENT), min(high, _MAX_ENLARGEMENT)


def _count(length: int, side: float, overlap: float, overlap_px: float) -> int:
    """How many tiles of a side cover a length when neighbours overlap enough (at most by half)."""
    side = float(max(1, math.floor(side)))
    if side >= length:
        return 1
    step = side - min(max(overlap * side, overlap_px), side / 2)
    return 1 + math.ceil((length - side) / max(step, 1.0))


def _starts(length: int, side: int, count: int) -> list[int]:
    """Evenly spread: all neighbours overlap alike, and the last tile ends at the edge."""
    if count == 1:
        return [0]
    return [round(k * (length - side) / (count - 1)) for k in range(count)]


def unseen(plan: TilePlan, looked_at: Sequence[int]) -> tuple[list[Tile], float]:
    """What no chosen tile covers, as rectangles that do not overlap, and its share of the picture (0 to 1)."""
    seen = [plan.tiles[i] for i in looked_at]
    ys = sorted({0, plan.height_px, *(t.top_px for t in seen), *(t.bottom_px for t in seen)})
    xs = sorted({0, plan.width_px, *(t.left_px for t in seen), *(t.right_px for t in seen)})
    left_out: list[Tile] = []
    for top, bottom in itertools.pairwise(ys):
        start: int | None = None
        across = [t for t in seen if t.top_px <= top and bottom <= t.bottom_px]
        for left, right in itertools.pairwise(xs):
            covered = any(t.left_px <= left and right <= t.right_px for t in across)
            if not covered and start is None:
                start = left
            if covered and start is not None:
                left_out.append(Tile(start, top, left, bottom))
                start = None
        if start is not None:
            left_out.append(Tile(start, top, plan.width_px, bottom))
    area = sum((t.right_px - t.left_px) * (t.bottom_px - t.top_px) for t in left_out)
    return left_out, area / (plan.width_px * plan.height_px)


@dataclass(frozen=True, slots=True)
class Piece:
    """A box found in one tile, in picture pixels; `cut` are the sides (left, top, right, bottom) where a seam cut it."""

    corners_px: tuple[float, float, float, float]
    score: float
    label: str
    tile: int
    cut: tuple[bool, bool, bool, bool]

    @property
    def whole(self) -> bool:
        return not any(self.cut)


def cut_sides(
    corners_px: tuple[float, float, float, float], tile: Tile, plan: TilePlan, margin_px: float
) -> tuple[bool, bool, bool, bool]:
    """At which sides a box ends where its tile does, and the picture does not."""
    left, top, right, bottom = corners_px
    return (
        tile.left_px > 0 and left - tile.left_px <= margin_px,
        tile.top_px > 0 and top - tile.top_px <= margin_px,
        tile.right_px < plan.width_px and tile.right_px - right <= margin_px,
        tile.bottom_px < plan.height_px and tile.bottom_px - bottom <= margin_px,
    )


def merge_pieces(pieces: Sequence[Piece], same: float = 0.5) -> list[tuple[Piece, list[int]]]:
    """One box per thing, with the indices of the pieces it is made of; best first.

    Two boxes of one label from different tiles are one thing when their intersection is more than `same` of the
    smaller; or when seams cut both, they meet, and along the seam their extents agree. A whole box stands for its
    group; without one the group is their union. Two boxes of one tile are two things: the network saw them together.
    """
    order = sorted(range(len(pieces)), key=lambda i: (not pieces[i].whole, -pieces[i].score, pieces[i].corners_px))
    groups: list[_Group] = []
    for index in order:
        piece = pieces[index]
        best = max(
            (g for g in groups if g.takes(piece, same)),
            key=lambda g: _shared(g.corners_px, piece.corners_px),
            default=None,
        )
        if best is None:
            groups.append(_Group(piece, index))
        else:
            best.add(piece, index)
    joined = True
    while joined:  # a union that has grown may reach what no single piece did
        joined = False
        for a in groups:
            for b in groups:
                if a is not b and a.joins(b, same):
                    a.absorb(b)
                    groups.remove(b)
                    joined = True
                    break
            if joined:
                break
    done = [(g.piece(), g.members) for g in groups]
    return sorted(done, key=lambda item: (-item[0].score, item[0].corners_px))


class _Group:
    """Pieces of one thing."""

    def __init__(self, piece: Piece, index: int) -> None:
        self.first = piece
        self.corners_px = piece.corners_px
        self.cut = piece.cut
        self.score = piece.score
        self.members = [index]
        self.tiles = {piece.tile}
        self.whole = piece.whole

    def takes(self, piece: Piece, same: float) -> bool:
        if piece.label != self.first.label or piece.tile in self.tiles:
            return False
        return _one_thing(self.corners_px, self.cut, piece.corners_px, piece.cut, same)

    def joins(self, other: _Group, same: float) -> bool:
        if other.first.label != self.first.label or self.tiles & other.tiles or (self.whole and other.whole):
            return False
        return _one_thing(self.corners_px, self.cut, other.corners_px, other.cut, same)

    def add(self, piece: Piece, index: int) -> None:
        self._grow(piece.corners_px, piece.cut)
        self.score = max(self.score, piece.score)
        self.members.append(index)
        self.tiles.add(piece.tile)

    def absorb(self, other: _Group) -> None:
        if other.whole and not self.whole:
            self.corners_px, self.cut, self.whole = other.corners_px, other.cut, True
        else:
            self._grow(other.corners_px, other.cut)
        self.score = max(self.score, other.score)
        self.members += other.members
        self.tiles |= other.tiles

    def _grow(self, corners: tuple[float, float, float, float], cut: tuple[bool, bool, bool, bool]) -> None:
        if self.whole:
            return
        a, b = self.corners_px, corners
        # the side that reaches farther says whether it was cut there
        self.cut = (
            self.cut[0] if a[0] <= b[0] else cut[0],
            self.cut[1] if a[1] <= b[1] else cut[1],
            self.cut[2] if a[2] >= b[2] else cut[2],
            self.cut[3] if a[3] >= b[3] else cut[3],
        )
        self.corners_px = min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])

    def piece(self) -> Piece:
        return Piece(self.corners_px, self.score, self.first.label, self.first.tile, self.cut)


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over the smaller."""
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
    return both / smaller if smaller > 0 else 0.0


def _along(a0: float, a1: float, b0: float, b1: float) -> float:
    """One-dimensional intersection over union."""
    both = min(a1, b1) - max(a0, b0)
    return max(0.0, both) / max(max(a1, b1) - min(a0, b0), 1e-9)


def _one_thing(
    a: tuple[float, ...], a_cut: tuple[bool, ...], b: tuple[float, ...], b_cut: tuple[bool, ...], same: float
) -> bool:
    if _shared(a, b) > same:
        return True
    meet = min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
    if not meet:
        return False
    sideways = (a_cut[2] and b_cut[0] and a[0] < b[0]) or (b_cut[2] and a_cut[0] and b[0] < a[0])
    upright = (a_cut[3] and b_cut[1] and a[1] < b[1]) or (b_cut[3] and a_cut[1] and b[1] < a[1])
    return (sideways and _along(a[1], a[3], b[1], b[3]) > same) or (upright and _along(a[0], a[2], b[0], b[2]) > same)
