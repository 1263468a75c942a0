# SPDX-License-Identifier: AGPL-3.0-or-later
"""Augmentation for thermal pictures: geometry within one canvas, and what thermal cameras do to grey levels.

Polarity stays white-hot throughout. The scale range widens the apparent height of people (HIT-UAV: 95 % between
13 and 30 px) to about 8..60 px, which is what other heights, lenses and simulated frames give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from .cold import cold_picture
from .labels import Boxes
from .wild import wild_picture

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each augmentation; probabilities are named p_*."""

    p_scale: float = 0.65
    scale_min: float = 0.55
    scale_max: float = 2.4
    degrees: float = 8.0
    translate: float = 0.10
    p_flip_lr: float = 0.5
    p_flip_ud: float = 0.2
    p_gain: float = 0.7
    p_gamma: float = 0.2
    p_blur: float = 0.2
    p_noise: float = 0.3
    p_stripes: float = 0.05
    p_stretch: float = 0.3
    p_colour: float = 0.0
    p_grey: float = 0.0
    p_cold: float = 0.0  # a rendered picture of cold ground instead
    p_wild: float = 0.0  # or one of the other renderer
    gently: bool = False  # that one's camera adds little
    tiles: bool = False  # what is larger than the canvas is cut to it, at its own scale, as in tiles
    p_object: float = 0.7  # of such a cut: round one of the picture's objects, else anywhere in it
    min_visible: float = 0.35
    min_pixels: float = 4.0
    border: int = 114


def calmer(config: AugmentConfig) -> AugmentConfig:
    """For the end of a training: fewer rendered pictures, and real ones nearer to what the camera gave."""
    return replace(
        config,
        p_cold=0.7 * config.p_cold,
        p_wild=0.7 * config.p_wild,
        gently=True,
        p_scale=0.75 * config.p_scale,
        scale_min=config.scale_min**0.6,
        scale_max=config.scale_max**0.6,
        p_gain=0.6 * config.p_gain,
        p_gamma=0.5 * config.p_gamma,
        p_blur=0.5 * config.p_blur,
        p_noise=0.5 * config.p_noise,
        p_stripes=0.5 * config.p_stripes,
    )


def contrast_stretch(image: Image, low: float = 1.0, high: float = 99.5) -> Image:
    """Map the given percentiles of a picture to 0..255 (what an auto-contrast display does)."""
    bottom, top = np.percentile(image[::4, ::4], (low, high))
    if top - bottom < 2:
        return image
    table = np.clip((np.arange(256) - bottom) * (255.0 / (top - bottom)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), dtype=np.uint8)


def photometric(image: Image, rng: np.random.Generator, config: AugmentConfig) -> Image:
    """Vary gain, offset, gamma, focus, noise and line pattern of a picture."""
    if rng.random() < config.p_stretch:
        image = contrast_stretch(image, rng.uniform(0.0, 2.0), rng.uniform(99.0, 100.0))
    levels = np.arange(256, dtype=np.float32)
    table = levels
    if rng.random() < config.p_gain:
        mean = float(image[::4, ::4].mean())
        gain = math.exp(rng.uniform(math.log(0.55), math.log(1.6)))
        table = np.clip((table - mean) * gain + mean + rng.uniform(-35, 35), 0, 255)
    if rng.random() < config.p_gamma:
        table = 255.0 * (table / 255.0) ** math.exp(rng.uniform(-0.4, 0.4))
    if table is not levels:
        image = np.asarray(cv2.LUT(image, table.astype(np.uint8)), dtype=np.uint8)
    if rng.random() < config.p_blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3)), dtype=np.uint8)
    if rng.random() < config.p_noise:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(1.0, 8.0))
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < config.p_stripes:
        columns = rng.standard_normal((1, image.shape[1]), dtype=np.float32) * np.float32(rng.uniform(1.0, 4.0))
        image = np.clip(image + (columns if image.ndim == 2 else columns[..., None]), 0, 255).astype(np.uint8)
    return image


#: For colour pictures from the air: no upright direction, colours of other light and other cameras.
COLOUR = AugmentConfig(
    scale_min=0.7,
    scale_max=1.7,
    p_flip_ud=0.4,
    p_gain=0.5,
    p_gamma=0.3,
    p_noise=0.2,
    p_stripes=0.0,
    p_stretch=0.15,
    p_colour=0.7,
    p_grey=0.04,
    tiles=True,
)


def colour_shift(image: Image, rng: np.random.Generator, config: AugmentConfig) -> Image:
    """Vary white balance, hue and saturation of a colour picture; now and then take the colour away."""
    if rng.random() < config.p_grey:
        return np.repeat(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    if rng.random() >= config.p_colour:
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    levels = np.arange(256, dtype=np.float32)
    hue = ((levels + rng.uniform(-6, 6)) % 180).astype(np.uint8)
    saturation = np.clip(levels * rng.uniform(0.5, 1.4), 0, 255).astype(np.uint8)
    shifted = cv2.cvtColor(cv2.merge([hue[hsv[..., 0]], saturation[hsv[..., 1]], hsv[..., 2]]), cv2.COLOR_HSV2BGR)
    gains = np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    table = np.clip(levels[:, None] * gains, 0, 255).astype(np.uint8)
    return np.stack([table[shifted[..., i], i] for i in range(3)], axis=2)


def warp_boxes(boxes: Boxes, matrix: npt.NDArray[np.float64], width: int, height: int, config: AugmentConfig) -> Boxes:
    """Move boxes by an affine matrix, clip them to the canvas and drop those mostly out of it or too small."""
    if not len(boxes):
        return boxes
    x1, y1, x2, y2 = (boxes[:, i].astype(np.float64) for i in (1, 2, 3, 4))
    xs = np.stack([x1, x2, x2, x1], axis=1)
    ys = np.stack([y1, y1, y2, y2], axis=1)
    # The corners of a rotated box bound its inscribed ellipse far too loosely: take the ellipse's own bounds.
    cx = matrix[0, 0] * xs.mean(axis=1) + matrix[0, 1] * ys.mean(axis=1) + matrix[0, 2]
    cy = matrix[1, 0] * xs.mean(axis=1) + matrix[1, 1] * ys.mean(axis=1) + matrix[1, 2]
    half_w, half_h = (x2 - x1) / 2, (y2 - y1) / 2
    rx = np.hypot(matrix[0, 0] * half_w, matrix[0, 1] * half_h)
    ry = np.hypot(matrix[1, 0] * half_w, matrix[1, 1] * half_h)
    out = np.stack([boxes[:, 0].astype(np.float64), cx - rx, cy - ry, cx + rx, cy + ry], axis=1)
    area = (out[:, 3] - out[:, 1]) * (out[:, 4] - out[:, 2])
    out[:, [1, 3]] = out[:, [1, 3]].clip(0, width)
    out[:, [2, 4]] = out[:, [2, 4]].clip(0, height)
    w, h = out[:, 3] - out[:, 1], out[:, 4] - out[:, 2]
    keep = (w * h >= config.min_visible * area) & (np.maximum(w, h) >= config.min_pixels) & (np.minimum(w, h) >= 2)
    return np.asarray(out[keep], dtype=np.float32)


def augment(
    image: Image,
    boxes: Boxes,
    width: int,
    height: int,
    rng: np.random.Generator,
    config: AugmentConfig | None = None,
) -> tuple[Image, Boxes]:
    """Return one augmented picture (grey, or colour as H x W x 3) of the canvas' size, and its boxes."""
    config = config or AugmentConfig()
    if config.p_cold + config.p_wild > 0:
        draw = rng.random()
        if draw < config.p_cold:
            return cold_picture(rng, width, height)
        if draw < config.p_cold + config.p_wild:
            return wild_picture(rng, width, height, gently=config.gently)
    rows, cols = image.shape[:2]
    scale = min(width / cols, height / rows)
    cut = config.tiles and scale < 1.0
    if cut:
        scale = 1.0
    if rng.random() < config.p_scale:
        scale *= math.exp(rng.uniform(math.log(config.scale_min), math.log(config.scale_max)))
    angle = math.radians(rng.uniform(-config.degrees, config.degrees))
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    # Look anywhere in the enlarged picture, or put a shrunken one anywhere on the canvas.
    slack_x = abs(cols * scale - width) / 2 + config.translate * width
    slack_y = abs(rows * scale - height) / 2 + config.translate * height
    centre_x = width / 2 + rng.uniform(-slack_x, slack_x)
    centre_y = height / 2 + rng.uniform(-slack_y, slack_y)
    flip_x = -1.0 if rng.random() < config.p_flip_lr else 1.0
    flip_y = -1.0 if rng.random() < config.p_flip_ud else 1.0
    matrix = np.array(
        [
            [flip_x * cos, -flip_x * sin, 0.0],
            [flip_y * sin, flip_y * cos, 0.0],
        ],
        dtype=np.float64,
    )
    if cut and len(boxes) and rng.random() < config.p_object:
        _, left, top, right, bottom = (float(v) for v in boxes[int(rng.integers(len(boxes)))])
        away = matrix[:, :2] @ np.array([(cols - left - right) / 2, (rows - top - bottom) / 2])
        at_x, at_y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        centre_x = float(np.clip(at_x + away[0], width / 2 - slack_x, width / 2 + slack_x))
        centre_y = float(np.clip(at_y + away[1], height / 2 - slack_y, height / 2 + slack_y))
    matrix[0, 2] = centre_x - matrix[0, 0] * cols / 2 - matrix[0, 1] * rows / 2
    matrix[1, 2] = centre_y - matrix[1, 0] * cols / 2 - matrix[1, 1] * rows / 2
    warped = cv2.warpAffine(
        image,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(config.border,) * 3,
    )
    moved = warp_boxes(boxes, matrix, width, height, config)
    if warped.ndim == 3:
        warped = colour_shift(np.asarray(warped, dtype=np.uint8), rng, config)
    return photometric(np.asarray(warped, dtype=np.uint8), rng, config), moved
