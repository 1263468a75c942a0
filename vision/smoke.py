# SPDX-License-Identifier: AGPL-3.0-or-later
"""Smoke in colour pictures, by what smoke does and nothing else does at once. Needs no training.

Frame after frame is laid over the one before (sparse optical flow and a similarity by RANSAC), so that a hovering or
slowly flying camera does not count as motion. Then, in blocks of the reduced picture, smoke
- changes although the ground under it has no edges there that a shift could explain, nor, as the camera passes, would
  anything that stands there: what is tall shifts farther than the ground, by the same share at every look,
- takes the ground's colour away, or has none (a shadow does not: it scales all three channels alike, and where it lies
  over ground without colour, the coloured ground beside it tells),
- is soft: no finer detail than the rest of the picture, and no flashes (the glitter of water, leaves in the wind),
- drifts: the flow within it keeps a direction from look to look (the glitter of water does not),
- stays where it comes from, and does so for several looks (a vehicle or a cloud's shadow goes on).

The source, which is what is told as the place, is the part that has been smoke for longest. What is too dark, too far
from the last frame (a camera at 8 m/s with a frame every four seconds) or without detail to hold on to is counted in
`refused`; nothing is claimed of it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.detector import Detection
from vision.frame import Frame, PixelKind
from vision.sighting import Kind
from vision.unite import SMOKE_CUES

_WIDTH_PX: Final = 320
_CORNERS: Final = 160
_LEAST_INLIERS: Final = 14
_LEAST_OVERLAP: Final = 0.4
_NOISE: Final = 2.0  # grey levels between two frames of a still scene, of a reduced picture
_SHIFT_PX: Final = 0.7  # by which two laid-over frames may be off
_LOOKS: Final = 12.0  # that the running means go back
_HEIGHTS: Final = 8  # that things on the ground are supposed to have, up to the tallest
_FLASH: Final = 238  # brighter is the sun in something
_RIM_PX: Final = (25, 25)  # twice as far as the means over blocks reach
_ROUND_PX: Final = (81, 81)  # a quarter of the picture: the edge of a cloud's shadow is as wide as a roof
Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """Bounds of the cues. Lengths on the ground where the scale is known."""

    min_light: float = 38.0  # mean grey level; darker is night
    change: float = 0.3  # in units of what noise and a small shift explain, at least
    change_times: float = 5.0  # what the picture at large changes by
    greying: float = 0.25  # change of saturation per relative change of brightness; a shadow has none
    grey: float = 0.12  # saturation below which there is no colour left to take away
    shadow_share: float = 0.04  # round a colourless place so much changed, half as much at least, and kept its colour,
    shadow_times: float = 1.0  # and so many times what lost it, so that it is in a shadow that passes
    tallest: float = 0.5  # h / (H - h) of what stands h high below a camera at H
    unexplained: float = 0.4  # of its looks, where no height explains more: nothing stands there
    texture: float = 1.8  # of the picture's own fine detail; glitter and leaves have more
    min_looks: int = 4
    min_seconds: float = 3.0
    share: float = 0.6  # of its looks in which a place must look like smoke
    min_drift: float = 0.3  # length of the mean of unit flow vectors over the looks
    steady_looks: int = 12  # or, where its billows change too fast to be followed: so long,
    steady_share: float = 0.85  # so surely,
    steady_times: float = 2.0  # and so many times min_area
    min_area_m2: float = 12.0
    min_area_share: float = 0.005  # of the picture, where no scale is known
    max_gap_s: float = 4.0  # between frames


@dataclass(slots=True)
class _Memory:
    """What is known of each block of the picture, in the coordinates of the newest frame."""

    likeness: Picture  # (1 + heights, h, w) running share of looks that were smoke-like: level ground, low to tall
    looks: Picture
    strength: Picture  # running mean of the change
    flow: NDArray[np.float32]  # (h, w, 2) running mean of unit flow


class SmokeDetector:
    """One camera's watch for smoke; keeps what it needs of the frames before. Not thread-safe."""

    def __init__(self, settings: SmokeSettings | None = None) -> None:
        self._settings = settings or SmokeSettings()
        self._last: tuple[float, NDArray[np.uint8], NDArray[np.uint8]] | None = None
        self._memory: _Memory | None = None
        self._since_s = 0.0
        self._areas: deque[float] = deque(maxlen=12)
        self.refused: Counter[str] = Counter()

    @property
    def name(self) -> str:
        return SMOKE_CUES

    def detect(self, frame: Frame, gsd_m: float | None) -> list[Detection]:
        """Smoke in this frame, as far as the frames before allow to say."""
        if frame.kind is not PixelKind.BGR8:
            self.refused["not a colour picture"] += 1
            return []
        factor = _WIDTH_PX / frame.width_px
        size = (_WIDTH_PX, max(16, round(frame.height_px * factor)))
        small = np.asarray(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        last, self._last = self._last, (frame.exposure_s, small, grey)
        if float(grey.mean()) < self._settings.min_light:
            return self._anew(frame, "too dark")
        if last is None or last[1].shape != small.shape:
            return self._anew(frame, "the first frame")
        if not 0.0 < frame.exposure_s - last[0] <= self._settings.max_gap_s:
            return self._anew(frame, "too long after the frame before")
        move = _laid_over(last[2], grey)
        if move is None:
            return self._anew(frame, "does not fit the frame before")
        memory = self._follow(move, size)
        smoky, moved, flow = self._cues(small, grey, last, move)
        _remember(memory, smoky, moved, flow)
        return self._regions(frame, memory, smoky[0], gsd_m, factor)

    def _anew(self, frame: Frame, why: str) -> list[Detection]:
        self.refused[why] += 1
        self._memory = None
        self._since_s = frame.exposure_s
        self._areas.clear()
        return []

    def _follow(self, move: NDArray[np.float64], size: tuple[int, int]) -> _Memory:
        """The memory, carried over into the new frame's coordinates; what comes into view is unknown."""
        old = self._memory
        if old is None:
            empty = np.zeros((size[1], size[0]), np.float32)
            likeness = np.zeros((1 + _HEIGHTS, *empty.shape), np.float32)
            self._memory = _Memory(likeness, empty, empty.copy(), np.zeros((*empty.shape, 2), np.float32))
        else:
            likeness = np.stack([_warped(part, move, size) for part in old.likeness])
            rest = (_warped(part, move, size) for part in (old.looks, old.strength, old.flow))
            self._memory = _Memory(likeness, *rest)
        return self._memory

    def _cues(
        self,
        small: NDArray[np.uint8],
        grey: NDArray[np.uint8],
        last: tuple[float, NDArray[np.uint8], NDArray[np.uint8]],
        move: NDArray[np.float64],
    ) -> tuple[Picture, Picture, NDArray[np.float32]]:
        """How smoke-like each pixel is (0 or 1) on level ground and for each height, its change, and the flow there."""
        s = self._settings
        size = (grey.shape[1], grey.shape[0])
        before = np.asarray(_warped(last[2], move, size), dtype=np.uint8)
        inside = _warped(np.full(grey.shape, 255, np.uint8), move, size) > 250
        now_f, before_f = _soft(grey), _soft(before)
        change = np.abs(now_f - before_f)
        slope = np.maximum(_slope(now_f), _slope(before_f))
        explained = _NOISE + _SHIFT_PX * slope
        moved = cv2.blur(change / explained, (9, 9))
        light, saturation = _light_and_saturation(small)
        light_before, saturation_before = _light_and_saturation(
            np.asarray(_warped(last[1], move, size), dtype=np.uint8)
        )
        brightened = cv2.blur(np.abs(light - light_before) / np.maximum(light_before, 8.0), (9, 9))
        greyed = cv2.blur(np.abs(saturation - saturation_before), (9, 9)) >= s.greying * brightened
        detail = cv2.blur(
            np.abs(grey.astype(np.float32) - cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.2)), (11, 11)
        )
        flash = cv2.dilate((grey >= _FLASH).view(np.uint8), np.ones((9, 9), np.uint8)) > 0
        typical = float(np.median(detail[inside])) if inside.any() else 0.0
        smooth = detail <= s.texture * typical + 0.3
        least = max(s.change, s.change_times * float(np.median(moved[inside]))) if inside.any() else s.change
        pale = (saturation <= s.grey) & ~greyed
        # what borders on what was not in view is mixed with it
        known = cv2.erode(inside.view(np.uint8), np.ones((13, 13), np.uint8)) > 0
        shaded = self._shaded(known & (moved >= 0.5 * least), greyed, pale)
        like = inside & (greyed | (pale & ~shaded)) & smooth & ~flash
        changes = [moved, *self._as_standing(last[2], now_f, move)]
        masks = [_without_specks(like & (change >= least)) for change in changes]
        smoky = np.stack(masks if len(masks) > 1 else masks * (1 + _HEIGHTS))
        still = np.zeros((*grey.shape, 2), np.float32)
        flow = cv2.calcOpticalFlowFarneback(before, grey, still, 0.5, 3, 21, 3, 7, 1.5, 0)
        return smoky, moved.astype(np.float32), np.asarray(flow, dtype=np.float32)

    def _as_standing(self, last: NDArray[np.uint8], now: Picture, move: NDArray[np.float64]) -> list[Picture]:
        """What is left of the change if something stands there, for each height from low to tall.

        Seen from H above the ground, the top of what is h tall moves h / (H - h) farther in the picture than the ground
        does, the same way: so the crown of a tree changes while a camera passes, and nothing happens there. Empty
        where not even what is tall moves farther than two frames laid over each other may be off.
        """
        height, width = now.shape
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        farther = self._settings.tallest * (move[:, :2] @ centre + move[:, 2] - centre)
        if float(np.hypot(*farther)) <= _SHIFT_PX:
            return []
        left = []
        for number in range(1, _HEIGHTS + 1):
            shifted = move.copy()
            shifted[:, 2] += farther * (number / _HEIGHTS)
            before = _soft(np.asarray(_warped(last, shifted, (width, height)), dtype=np.uint8))
            explained = _NOISE + _SHIFT_PX * np.maximum(_slope(now), _slope(before))
            left.append(np.asarray(cv2.blur(np.abs(now - before) / explained, (9, 9)), dtype=np.float32))
        return left

    def _shaded(self, changed: Mask, greyed: Mask, pale: Mask) -> Mask:
        """Where what changes round a place keeps its colour: a shadow passes, also over what has none to keep.

        At the rim of what is pale a shadow changes the mixture of both, so that colour lost there does not count.
        """
        rim = cv2.dilate(pale.view(np.uint8), np.ones(_RIM_PX, np.uint8)) > 0
        kept = cv2.blur((changed & ~greyed & ~pale).astype(np.float32), _ROUND_PX)
        lost = cv2.blur((changed & greyed & ~rim).astype(np.float32), _ROUND_PX)
        return np.asarray(kept > np.maximum(self._settings.shadow_share, self._settings.shadow_times * lost))

    def _regions(
        self, frame: Frame, memory: _Memory, smoky: Picture, gsd_m: float | None, factor: float
    ) -> list[Detection]:
        s = self._settings
        if frame.exposure_s - self._since_s < s.min_seconds:
            return []
        likeness = memory.likeness[0]
        lasting = (likeness >= s.share) & (memory.looks >= s.min_looks)
        stands = memory.likeness.min(axis=0) < s.unexplained  # one height explains look after look
        # the plume is what has lately been smoke and hangs together with what has been so for long
        near = cv2.dilate(smoky.astype(np.uint8), np.ones((9, 9), np.uint8)) | lasting.view(np.uint8)
        count, labels = cv2.connectedComponents(near, connectivity=8)
        metre2 = None if gsd_m is None else (gsd_m / factor) ** 2
        least = s.min_area_share * near.size if metre2 is None else s.min_area_m2 / metre2
        found = []
        for label in range(1, count):
            core = (labels == label) & lasting
            area = float(core.sum())
            if float((core & ~stands).sum()) < max(least, 12.0):
                continue
            flow = memory.flow[core].mean(axis=0)
            drift = float(np.hypot(*flow))
            steady = core & (likeness >= s.steady_share) & (memory.looks >= s.steady_looks)
            if drift < s.min_drift and float(steady.sum()) < s.steady_times * least:
                continue
            strongest = float(likeness[core].max())
            dense = cv2.blur(memory.strength * core, (9, 9))
            y, x = np.nonzero(core & (dense >= 0.85 * float(dense[core].max())))
            box = (x.min() / factor, y.min() / factor, (x.max() + 1) / factor, (y.max() + 1) / factor)
            found.append(
                Detection(
                    float(box[0]),
                    float(box[1]),
                    float(box[2]),
                    float(box[3]),
                    Kind.SMOKE,
                    confidence=min(0.85, 0.35 + 0.25 * strongest + 0.25 * min(1.0, drift)),
                    detector=self.name,
                    area_px=round(area / factor**2),
                )
            )
        return found


def _laid_over(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """(2, 3) similarity from the frame before to this one; None where most of the picture does not agree on one."""
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.01, 6)
    if corners is None or len(corners) < _LEAST_INLIERS:
        return None
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        before, now, corners, np.zeros_like(corners), winSize=(21, 21), maxLevel=4
    )
    good = status.ravel() == 1
    if int(good.sum()) < _LEAST_INLIERS:
        return None
    move, inliers = cv2.estimateAffinePartial2D(corners[good], moved[good], ransacReprojThreshold=1.5)
    if move is None or int(inliers.sum()) < max(_LEAST_INLIERS, 0.3 * int(good.sum())):
        return None
    height, width = now.shape
    seen = _warped(np.full(now.shape, 255, np.uint8), move, (width, height))
    return np.asarray(move) if float((seen > 127).mean()) >= _LEAST_OVERLAP else None


def _warped(picture: NDArray[Any], move: NDArray[np.float64], size: tuple[int, int]) -> NDArray[Any]:
    return np.asarray(cv2.warpAffine(picture, move, size, flags=cv2.INTER_LINEAR))


def _without_specks(mask: Mask) -> Picture:
    closed = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)).astype(np.float32)


def _soft(grey: NDArray[np.uint8]) -> Picture:
    return np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5), dtype=np.float32)


def _light_and_saturation(picture: NDArray[np.uint8]) -> tuple[Picture, Picture]:
    """Brightest channel, and how far the darkest is below it, from 0 to 1."""
    one, two, three = cv2.split(cv2.GaussianBlur(picture, (0, 0), 2.0))
    high = np.asarray(cv2.max(cv2.max(one, two), three), dtype=np.float32)
    low = np.asarray(cv2.min(cv2.min(one, two), three), dtype=np.float32)
    return high, np.asarray((high - low) / np.maximum(high, 1.0), dtype=np.float32)


def _slope(grey: Picture) -> Picture:
    """Grey levels per pixel."""
    x = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    y = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    return np.asarray(cv2.magnitude(x, y), dtype=np.float32)


def _remember(memory: _Memory, smoky: Picture, moved: Picture, flow: NDArray[np.float32]) -> None:
    """Running means: over all looks at first, over the last dozen later."""
    memory.looks = np.minimum(memory.looks + 1.0, _LOOKS).astype(np.float32)
    weight = 1.0 / memory.looks
    memory.likeness = memory.likeness + weight * (smoky - memory.likeness)
    memory.strength = memory.strength + weight * (np.minimum(moved, 20.0) * smoky[0] - memory.strength)
    length = np.hypot(flow[..., 0], flow[..., 1])[..., None]
    unit = np.where(length > 0.15, flow / np.maximum(length, 1e-3), 0.0).astype(np.float32)
    share = (weight * (smoky[0] > 0))[..., None]
    memory.flow = (memory.flow + share * (unit - memory.flow)).astype(np.float32)
