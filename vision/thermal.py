# SPDX-License-Identifier: AGPL-3.0-or-later
"""The classical detector: warm spots of a person's size, and fire by its temperature.

White top-hat with a rectangle a little larger than a person (Serra 1982; rectangles run in constant time per pixel,
van Herk 1992), threshold in robust sigmas (1.4826 x median absolute deviation), then gates on size in metres,
shape and contrast. It needs no training and finds what a network has never seen; it also finds rocks. Hence a spot
alone is a "hot spot", and the tracker decides what becomes of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.detector import Detection
from vision.frame import Frame, PixelKind
from vision.sighting import Kind
from vision.unite import Observation

_MAD_TO_SIGMA: Final = 1.4826
_OUTER: Final = 3  # in OpenCV's nesting of outlines: the one around it
_SAMPLES: Final = 5000  # a median of so many is within 2 % of a sigma
_LEAST_WARMTH_C: Final = 0.6
_OFFSET_C: Final = 40.0
_COUNTS: Final = {PixelKind.CELSIUS: 400.0, PixelKind.RAW16: 1.0, PixelKind.GREY8: 128.0}  # per unit of the picture
_FLAMES_C: Final = 150.0
_NO_BODY_C: Final = 60.0  # more than skin, and than clothes beside a fire
_LENS_PX: Final = 5  # as far as a lens spreads a flame's heat
_FLAME_SHARE: Final = 0.5  # of a box: those of flames alone have 0.57 and more, those of people at flames 0.39 and less
FloatPicture = NDArray[np.float32]
LevelPicture = NDArray[np.uint16]
IntVector = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HotSpotSettings:
    """Gates of the hot-spot detector. Lengths are on the ground."""

    sigma: float = 7.0
    min_contrast_c: float = 1.2
    min_contrast_raw: float = 48.0  # counts: uncooled cameras give 40 and more per degree
    min_contrast_grey: float = 10.0  # of 255, auto-gained
    min_size_m: float = 0.3
    max_size_m: float = 2.5
    min_size_px: float = 3.0  # smaller is noise or a dead pixel
    max_elongation: float = 5.0
    min_fill: float = 0.3  # of its box: a fence or a road edge is thin
    max_spots: int = 40  # the strongest; more is clutter, and is counted
    unsized_sigma: float = 14.0  # without a scale only what stands out so far
    unsized_kernel_px: int = 31
    unsized_max_spots: int = 3  # more in one frame is a warm scene, not somebody in the cold: then none is named
    fire_c: float = _FLAMES_C
    fire_min_px: int = 2


def levels(pixels: NDArray[Any], kind: PixelKind) -> LevelPicture:
    """The picture in whole counts, in which rank filters take half the time: 1/400 of a degree from -40 to 123 C.

    What is beyond saturates; a spot's temperature is read from the picture itself.
    """
    if kind is PixelKind.RAW16:
        return np.asarray(pixels, dtype=np.uint16)
    counts = _COUNTS[kind]
    offset = _OFFSET_C * counts if kind is PixelKind.CELSIUS else 0.0
    return np.asarray(cv2.addWeighted(pixels, counts, pixels, 0.0, offset, dtype=cv2.CV_16U), dtype=np.uint16)


def top_hat(pixels: NDArray[Any], kernel_px: int) -> NDArray[Any]:
    """The picture minus its opening by a square of kernel_px: what is warmer than its surroundings and smaller."""
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (kernel_px, kernel_px))
    return np.asarray(cv2.morphologyEx(pixels, cv2.MORPH_TOPHAT, square))


def robust_sigma(values: NDArray[Any]) -> tuple[float, float]:
    """(median, sigma) by the median absolute deviation, from some 5000 pixels spread evenly."""
    step = max(1, round(math.sqrt(values.size / _SAMPLES)))
    sample = values[::step, ::step].astype(np.float32).ravel()
    half = len(sample) // 2
    sample.partition(half)
    median = float(sample[half])
    sample -= median
    np.abs(sample, out=sample)
    sample.partition(half)
    return median, _MAD_TO_SIGMA * float(sample[half])


def elongation(x: IntVector, y: IntVector) -> float:
    """Long axis over short axis of the ellipse with the same second moments as a set of pixels."""
    pixel = 1.0 / 12.0  # a pixel has a width of its own
    n, x, y = len(x), x - x[0], y - y[0]
    sum_x, sum_y = int(x.sum()), int(y.sum())
    xx = (n * int(x @ x) - sum_x * sum_x) / (n * n) + pixel
    yy = (n * int(y @ y) - sum_y * sum_y) / (n * n) + pixel
    xy = (n * int(x @ y) - sum_x * sum_y) / (n * n)
    spread = math.hypot((xx - yy) / 2, xy)
    return math.sqrt(((xx + yy) / 2 + spread) / max((xx + yy) / 2 - spread, 1e-6))


@dataclass(frozen=True, slots=True)
class Warmth:
    """What is warmer than its surroundings inside a box: by how much, how many pixels, how long for its width."""

    contrast_c: float
    area_px: int
    elongation: float


def warmth_in(pixels: FloatPicture, box: tuple[float, float, float, float]) -> Warmth | None:
    """Measure what a learned detector boxed, in degrees Celsius; None where nothing in the box is warmer.

    None, too, with flames beside it: they would be measured.

    The surroundings are the rim of the box enlarged by half; the thing is what is above half its own peak.
    """
    left, top, right, bottom = box
    grow = max(4.0, 0.5 * max(right - left, bottom - top))
    x0, y0 = max(0, int(left - grow)), max(0, int(top - grow))
    patch = pixels[y0 : int(bottom + grow) + 1, x0 : int(right + grow) + 1]
    if min(patch.shape) < 7 or float(patch.max()) >= _FLAMES_C:
        return None
    smooth = cv2.blur(patch.astype(np.float32, copy=False), (3, 3))
    rim = np.concatenate([smooth[:2].ravel(), smooth[-2:].ravel(), smooth[:, :2].ravel(), smooth[:, -2:].ravel()])
    ground = float(np.median(rim))
    inner = smooth[int(top) - y0 : math.ceil(bottom) - y0, int(left) - x0 : math.ceil(right) - x0]
    if inner.size == 0:
        return None
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    contrast = float(inner.max()) - ground
    if contrast <= _LEAST_WARMTH_C:
        return None
    mask = (smooth >= ground + 0.5 * contrast).view(np.uint8)
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    own = labels[int(row) + int(top) - y0, int(column) + int(left) - x0]
    y, x = np.nonzero(labels == own)
    return Warmth(contrast, len(x), elongation(x, y))


def is_flame(frame: Frame, box: Detection | Observation) -> bool:
    """Whether a learned detector's box at a fire is of the flames: mostly too hot for a body, or without degrees."""
    if frame.kind is not PixelKind.CELSIUS:
        return True
    left, top = max(0, int(box.left_px)), max(0, int(box.top_px))
    pixels = frame.pixels[top : math.ceil(box.bottom_px), left : math.ceil(box.right_px)]
    if pixels.size == 0:
        return True
    hot = cv2.dilate((pixels >= _NO_BODY_C).view(np.uint8), np.ones((_LENS_PX, _LENS_PX), np.uint8))
    return float(hot.mean()) >= _FLAME_SHARE


def parts(
    hat: NDArray[Any], strong: float, weak: float, most_px: float
) -> Iterator[tuple[float, tuple[int, int], NDArray[Any]]]:
    """The connected parts above `weak` that reach `strong` and are not too long: peak, corner (x, y), values (else 0).

    By their outlines: a frame holds few, and labelling every pixel of it takes ten times as long. What lies within a
    warm ring, as somebody in a yard within its fence, is a part of its own.
    """
    mask = (hat >= weak).view(np.uint8)
    outlines, nesting = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for number, outline in enumerate(outlines):
        if nesting[0, number, _OUTER] >= 0:
            continue  # the rim of a hole
        left, top, width, height = cv2.boundingRect(outline)
        if max(width, height) > most_px:
            continue
        patch = hat[top : top + height, left : left + width]
        if patch.max() < strong:
            continue
        inside = np.zeros((height, width), np.uint8)
        cv2.drawContours(inside, outlines, number, 1, cv2.FILLED, cv2.LINE_8, nesting, 1, (-left, -top))
        values = patch * inside
        peak = float(values.max())
        if peak >= strong:
            yield peak, (left, top), values


def _is_a_corner(frame: Frame, spot: Detection, most_px: float) -> bool:
    """Whether a spot too hot for a body belongs to something larger that is as hot: a roof in the sun leaves its corners.

    An opening by an upright square does not reach into the corners of what lies askew. What is cooler may be somebody
    who leans on it, and stays.
    """
    if spot.temperature_max_c is None or spot.contrast_c is None or spot.temperature_max_c < _NO_BODY_C:
        return False
    reach = math.ceil(most_px)
    x0, y0 = max(0, int(spot.left_px) - reach), max(0, int(spot.top_px) - reach)
    around = frame.pixels[y0 : int(spot.bottom_px) + reach, x0 : int(spot.right_px) + reach]
    as_hot = (cv2.blur(around, (3, 3)) >= spot.temperature_max_c - spot.contrast_c / 2).view(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(as_hot, connectivity=8)
    own = labels[int(spot.top_px) - y0 : int(spot.bottom_px) - y0, int(spot.left_px) - x0 : int(spot.right_px) - x0]
    counts = np.bincount(own.ravel(), minlength=len(boxes))
    counts[0] = 0  # the rest
    return bool(counts.any()) and max(boxes[counts.argmax(), [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]) > most_px


class HotSpotDetector:
    """Warm spots and fires. Without a ground sample distance only fires and, on cold ground, the few that stand out far.

    Sizes cannot be judged then, and every warm stone of a warm scene would be a find.

    Not thread-safe.
    """

    def __init__(self, settings: HotSpotSettings | None = None) -> None:
        self._settings = settings or HotSpotSettings()
        self.spots_left_off = 0  # beyond max_spots
        self.refused_frames = 0  # colour pictures, and those on which a person would be under three pixels
        self.unsized_frames = 0  # whose ground sample distance is unknown: looked at for fire and what stands out far

    @property
    def name(self) -> str:
        return "hot-spot top-hat"

    def detect(self, frame: Frame, gsd_m: float | None) -> list[Detection]:
        if frame.kind is PixelKind.BGR8:
            self.refused_frames += 1
            return []
        fires = self.fires(frame, gsd_m)
        if gsd_m is None:
            self.unsized_frames += 1
            s = self._settings
            sizes = (s.min_size_px, float(s.unsized_kernel_px))
            spots = self._spots(frame, s.unsized_kernel_px, sizes, s.unsized_sigma, fires)
            return fires + (spots if len(spots) <= s.unsized_max_spots else [])
        s = self._settings
        kernel = int(np.clip(1.25 * s.max_size_m / gsd_m, 7, 101)) | 1
        sizes = (max(s.min_size_px, s.min_size_m / gsd_m), s.max_size_m / gsd_m)
        return fires + self._spots(frame, kernel, sizes, s.sigma, fires)

    def _spots(
        self, frame: Frame, kernel: int, sizes: tuple[float, float], sigmas: float, fires: list[Detection]
    ) -> list[Detection]:
        s = self._settings
        least, most = sizes
        if most < s.min_size_px:
            self.refused_frames += 1  # a person would be smaller than three pixels: nothing can be said
            return []
        counts = _COUNTS[frame.kind]
        hat = top_hat(cv2.blur(levels(frame.pixels, frame.kind), (3, 3)), kernel)
        median, sigma = robust_sigma(hat)
        floor = counts * {PixelKind.CELSIUS: s.min_contrast_c, PixelKind.RAW16: s.min_contrast_raw}.get(
            frame.kind, s.min_contrast_grey
        )
        sigma = max(sigma, 1e-3 * counts)
        strong = median + max(sigmas * sigma, floor)
        weak = median + max(0.5 * sigmas * sigma, 0.5 * floor)
        if float(hat.max()) < strong:
            return []
        spots: list[Detection] = []
        for peak, corner, values in sorted(parts(hat, strong, weak, 4.0 * most), key=lambda part: -part[0]):
            # the spot itself is what is above half its own peak: a strong one's blur must not make it large
            y, x = np.nonzero(values >= max(weak, 0.5 * peak))
            x, y = x + corner[0], y + corner[1]
            left, right, top, bottom = int(x.min()), int(x.max()) + 1, int(y.min()), int(y.max()) + 1
            long_side, short_side = max(right - left, bottom - top), min(right - left, bottom - top)
            fill = len(x) / ((right - left) * (bottom - top))
            if not least <= long_side <= most or long_side / short_side > s.max_elongation or fill < s.min_fill:
                continue
            centre = ((left + right) / 2, (top + bottom) / 2)
            if any(f.left_px <= centre[0] <= f.right_px and f.top_px <= centre[1] <= f.bottom_px for f in fires):
                continue
            if len(spots) == s.max_spots:
                self.spots_left_off += 1
                continue
            contrast = (peak - median) / counts
            spot = self._spot(frame, (left, top, right, bottom), contrast, sigma / counts, x, y)
            if not _is_a_corner(frame, spot, most):
                spots.append(spot)
        return spots

    def _spot(
        self,
        frame: Frame,
        box: tuple[int, int, int, int],
        contrast: float,
        sigma: float,
        x: IntVector,
        y: IntVector,
    ) -> Detection:
        left, top, right, bottom = box
        celsius = frame.kind is PixelKind.CELSIUS
        snr = contrast / sigma
        return Detection(
            float(left),
            float(top),
            float(right),
            float(bottom),
            Kind.HOT_SPOT,
            # contrast says that something is there, hardly what it is: never above a half
            confidence=0.5 * (1.0 - self._settings.sigma / (snr + self._settings.sigma)),
            detector=self.name,
            temperature_max_c=float(frame.pixels[top:bottom, left:right].max()) if celsius else None,
            contrast_sigma=snr,
            contrast_c=contrast if celsius else None,
            area_px=len(x),
            elongation=elongation(x, y),
        )

    def fires(self, frame: Frame, gsd_m: float | None) -> list[Detection]:
        """What is as hot as a fire; nothing in pictures without degrees."""
        if frame.kind is not PixelKind.CELSIUS:
            return []
        s, pixels = self._settings, frame.pixels
        if float(pixels.max()) < s.fire_c:
            return []
        hot = pixels >= s.fire_c
        left, top, width, height = cv2.boundingRect(hot.view(np.uint8))
        hot, pixels = hot[top : top + height, left : left + width], pixels[top : top + height, left : left + width]
        # flames are ragged: what lies within about a metre is one fire
        reach = 5 if gsd_m is None else int(np.clip(1.0 / gsd_m, 3, 31)) | 1
        joined = cv2.dilate(hot.astype(np.uint8), np.ones((reach, reach), np.uint8))
        count, labels = cv2.connectedComponents(joined, connectivity=8)
        fires = []
        for label in range(1, count):
            y, x = np.nonzero((labels == label) & hot)
            if len(x) < s.fire_min_px:
                continue
            hottest = float(pixels[y, x].max())
            fires.append(
                Detection(
                    float(left + x.min()),
                    float(top + y.min()),
                    float(left + x.max() + 1),
                    float(top + y.max() + 1),
                    Kind.FIRE,
                    confidence=0.9 if hottest >= 2 * s.fire_c else 0.75,
                    detector=f"fire rule, {s.fire_c:.0f} C and more",
                    temperature_max_c=hottest,
                    area_px=len(x),
                )
            )
        return fires
