# SPDX-License-Identifier: AGPL-3.0-or-later
"""Training tiles: rendered people and things on real ground, with YOLO labels.

Backgrounds are folders of aerial pictures without people. ``backgrounds.json`` beside them says of each folder how
it was taken: ``{"shore": {"gsd_cm": 1.9, "elevation_deg": [65, 90], "shadow": [0.3, 0.75], "licence": "BSD-2-Clause",
"source": "owner/name", "use": "train"}}``; ``use`` is train or test, so that no ground is in both.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from .augment import Image
from .dataset import IMAGE_SUFFIXES, SPLITS, write_description
from .errors import UserError
from .labels import write_labels
from .render_body import POSE_WEIGHTS, POSES, THINGS, person, thing
from .render_scene import GAMMA, View, blend, exposure, render

#: Pixels per metre of rendered tiles: a person lying is 14 to 84 px long.
SCALE_MIN, SCALE_MAX = 8.0, 48.0
LONGEST_MIN, LONGEST_MAX = 9.0, 110.0
VISIBLE_MIN = 0.35
_TRIES = 100
_NO_SKY_DEG = 50.0  # looking down so steeply, what is bright and smooth is snow or sand
#: Tiles from one picture before the next is read.
BLOCK = 12


@dataclass(frozen=True)
class Ground:
    """One folder of backgrounds and how it was taken; gsd in cm per pixel, elevation 90 = straight down."""

    name: str
    pictures: tuple[Path, ...]
    gsd_cm: float
    elevation_deg: tuple[float, float]
    shadow: tuple[float, float]
    licence: str
    source: str
    use: str
    kind: str = "pictures"  # or textures: sheets of samples that ground is laid from
    weight: float = 1.0  # how often the folder is taken, beside the others

    @property
    def nadir(self) -> bool:
        """Taken straight down, so that the picture has no upright direction."""
        return self.elevation_deg[1] >= 80


def read_grounds(root: Path) -> list[Ground]:
    """Read ``backgrounds.json`` and list the pictures."""
    path = root / "backgrounds.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); it describes each folder of backgrounds") from None
    if not isinstance(described, dict) or not described:
        raise UserError(f"{path}: expected an object with one entry per folder")
    out = []
    for name, entry in sorted(described.items()):
        pictures = tuple(sorted(p for p in (root / name).glob("*") if p.suffix.lower() in (*IMAGE_SUFFIXES, ".webp")))
        if not pictures:
            raise UserError(f"{root / name}: no pictures in it")
        try:
            ground = Ground(
                name,
                pictures,
                float(entry["gsd_cm"]),
                (float(entry["elevation_deg"][0]), float(entry["elevation_deg"][1])),
                (float(entry["shadow"][0]), float(entry["shadow"][1])),
                str(entry["licence"]),
                str(entry["source"]),
                str(entry["use"]),
                str(entry.get("kind", "pictures")),
                float(entry.get("weight", 1.0)),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"{path}: {name}: needs gsd_cm, elevation_deg [low, high], shadow [low, high], licence, source, use"
                f" (at fault: {error})"
            ) from None
        if ground.use not in ("train", "test"):
            raise UserError(f"{path}: {name}: use is {ground.use!r}, expected train or test")
        if ground.kind not in ("pictures", "textures"):
            raise UserError(f"{path}: {name}: kind is {ground.kind!r}, expected pictures or textures")
        if not 0 < ground.weight < math.inf:
            raise UserError(f"{path}: {name}: weight is {ground.weight:g}, expected a number above 0")
        if not 10 <= ground.elevation_deg[0] <= ground.elevation_deg[1] <= 90 or ground.gsd_cm <= 0:
            raise UserError(f"{path}: {name}: elevation_deg must lie in 10..90, gsd_cm above 0")
        out.append(ground)
    for use in ("train", "test"):
        if not any(ground.use == use for ground in out):
            raise UserError(f"{path}: no folder with use {use!r}")
    return out


def crop(picture: Image, factor: float, size: int, rng: np.random.Generator, *, sky: bool) -> Image | None:
    """Cut a square of ``size`` after scaling by ``factor``; None where it shows ``sky``, if it can (bright and smooth)."""
    side = max(16, round(size / factor))
    rows, cols = picture.shape[:2]
    side = min(side, rows, cols)
    x, y = int(rng.integers(cols - side + 1)), int(rng.integers(rows - side + 1))
    cut = picture[y : y + side, x : x + side]
    tile = cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
    strip = tile[: size // 3]
    if sky and strip.mean() > 190 and strip.std() < 22:
        return None
    return np.asarray(tile, dtype=np.uint8)


def foliage(size: int, grain: float, share: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A leafy mask (0..1) that covers about ``share`` of a square."""
    coarse = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), max(grain, 0.8))
    fine = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), max(grain / 4, 0.5))
    mixed = coarse / coarse.std() + 0.5 * fine / fine.std()
    return np.asarray(np.clip((mixed - np.quantile(mixed, 1 - share)) * 4 + 0.5, 0, 1), np.float32)


def camera_look(tile: Image, rng: np.random.Generator) -> Image:
    """What the camera does to the finished picture: sharpening, noise and JPEG."""
    if rng.random() < 0.35:
        soft = cv2.GaussianBlur(tile, (0, 0), 1.0)
        tile = np.asarray(cv2.addWeighted(tile, 1 + (k := rng.uniform(0.2, 0.9)), soft, -k, 0), dtype=np.uint8)
    if rng.random() < 0.4:
        noise = rng.standard_normal(tile.shape, dtype=np.float32) * np.float32(rng.uniform(1, 5))
        tile = np.clip(tile + noise, 0, 255).astype(np.uint8)
    quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(55, 96))]
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", tile, quality)[1], cv2.IMREAD_COLOR), dtype=np.uint8)


def make_tile(
    picture: Image, ground: Ground, size: int, rng: np.random.Generator
) -> tuple[Image, list[tuple[int, float, float, float, float]]]:
    """One tile and its boxes (class 0, left, top, width, height in pixels)."""
    scale = math.exp(rng.uniform(math.log(SCALE_MIN), math.log(SCALE_MAX)))
    native = 100.0 / ground.gsd_cm
    for _ in range(_TRIES):
        factor = float(np.clip(scale / native * math.exp(rng.normal(0, 0.35)), 0.12, 1.4))
        tile = crop(picture, factor, size, rng, sky=ground.elevation_deg[0] < _NO_SKY_DEG)
        if tile is not None:
            break
    else:
        raise UserError(
            f"backgrounds {ground.name}: a picture in it looks like sky nearly all over, bright and smooth; leave it out, or "
            f"say elevation_deg [{_NO_SKY_DEG:g} or more, 90] where it was taken so steeply that it is ground"
        )
    view = View(
        scale=scale,
        elevation_deg=rng.uniform(*ground.elevation_deg),
        roll_deg=rng.uniform(0, 360) if ground.nadir else rng.normal(0, 8),
        sun_elevation_deg=rng.uniform(22, 75),
        sun_azimuth_deg=rng.uniform(0, 360),
        direct=rng.uniform(0.35, 0.8) if rng.random() < 0.75 else rng.uniform(0.0, 0.2),
    )
    darkness = rng.uniform(*ground.shadow) * min(1.0, view.direct / 0.35)
    light = exposure(tile, rng)
    blur_px = max(rng.uniform(0.0, 0.9), 0.9 * (factor - 0.5))  # as soft as the enlarged ground
    canvas = np.asarray((tile.astype(np.float32) / 255.0) ** GAMMA, np.float32)
    people = 0 if rng.random() < 0.22 else 1 + int(rng.poisson(1.6))
    todo = ["person"] * people + ["thing"] * int(rng.poisson(1.8))
    rng.shuffle(todo)
    boxes: list[tuple[int, float, float, float, float]] = []
    taken: list[tuple[float, float, float, float]] = []
    for what in todo:
        at = (rng.uniform(0.03, 0.97) * size, rng.uniform(0.03, 0.97) * size)
        if what == "person":
            if boxes and rng.random() < 0.3:  # people stand together
                _, bx, by, bw, bh = boxes[-1]
                at = (bx + bw / 2 + rng.normal(0, 1.2) * scale, by + bh / 2 + rng.normal(0, 1.2) * scale)
            body = person(rng, POSES[int(rng.choice(len(POSES), p=POSE_WEIGHTS))])
        else:
            body = thing(rng, THINGS[int(rng.integers(len(THINGS)))])
        layer = render(body, view, at, (size, size), light[::-1])
        if layer is None:
            continue
        ys, xs = np.nonzero(layer.cover > 0.25)
        if not len(xs):
            continue
        left, top = float(layer.left + xs.min()), float(layer.top + ys.min())
        width, height = float(np.ptp(xs)) + 1, float(np.ptp(ys)) + 1
        if what == "person" and not LONGEST_MIN <= max(width, height) <= LONGEST_MAX:
            continue
        if any(_covers(other, (left, top, width, height)) for other in taken):
            continue
        taken.append((left, top, width, height))
        hidden = None
        if rng.random() < 0.2:
            hidden = foliage(size, rng.uniform(0.08, 0.35) * scale, rng.uniform(0.15, 0.6), rng)
        layer.colour = layer.colour[..., ::-1]
        visible = blend(canvas, layer, darkness, blur_px, hidden)
        if what == "person" and visible >= VISIBLE_MIN:
            right, bottom = min(left + width, size), min(top + height, size)
            left, top = max(left, 0.0), max(top, 0.0)
            boxes.append((0, left, top, right - left, bottom - top))
    out = np.asarray(np.clip(canvas, 0, 1) ** (1 / GAMMA) * 255 + 0.5, dtype=np.uint8)
    return camera_look(out, rng), boxes


def _covers(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    """Whether two boxes overlap by more than half of the smaller one: later bodies would hide labelled ones."""
    x, y, w, h = box
    inner_w = min(x + w, other[0] + other[2]) - max(x, other[0])
    inner_h = min(y + h, other[1] + other[3]) - max(y, other[1])
    return inner_w > 0 and inner_h > 0 and inner_w * inner_h > 0.5 * min(w * h, other[2] * other[3])


def _block(task: tuple[Path, Ground, Path, str, int, int, int, int]) -> int:
    """Render one block of tiles from one picture; its own seed makes it independent of all others."""
    path, ground, out, split, first, count, size, seed = task
    cv2.setNumThreads(1)
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise UserError(f"{path}: cannot be read as a picture")
    rng = np.random.default_rng([seed, SPLITS.index(split), first])
    for number in range(first, first + count):
        tile, boxes = make_tile(np.asarray(picture, dtype=np.uint8), ground, size, rng)
        stem = f"{ground.name}_{number:05d}"
        cv2.imwrite(str(out / "images" / split / f"{stem}.jpg"), tile, [int(cv2.IMWRITE_JPEG_QUALITY), 95])
        write_labels(out / "labels" / split / f"{stem}.txt", boxes, size, size)
    return count


def prepare(
    root: Path,
    out: Path,
    counts: dict[str, int],
    size: int = 384,
    seed: int = 0,
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Write a rendered data set of ``counts`` tiles per split; test tiles stand on grounds of their own.

    The same folder, counts, size and seed give the same tiles, whatever the number of workers.
    """
    grounds = read_grounds(root)
    if any(ground.kind == "textures" for ground in grounds):
        raise UserError(f"{root}: ground laid from textures needs figures (--figures)")
    tasks = []
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng([seed, 99 + number])
        empty_folders(out, split)
        chosen = [g for g in grounds if g.use == ("test" if split == "test" else "train")]
        for first in range(0, counts.get(split, 0), BLOCK):
            ground = chosen[int(rng.integers(len(chosen)))]
            path = ground.pictures[int(rng.integers(len(ground.pictures)))]
            tasks.append((path, ground, out, split, first, min(BLOCK, counts[split] - first), size, seed))
    done, total = 0, sum(counts.values())
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for count in pool.map(_block, tasks):
            done += count
            if done % (50 * BLOCK) < count:
                say(f"rendered {done} of {total} tiles")
    return described(out, counts, grounds)


def empty_folders(out: Path, split: str) -> None:
    """Make the folders of one split, without what an earlier run left in them."""
    for kind in ("images", "labels", "ignore"):
        folder = out / kind / split
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)


def described(out: Path, counts: dict[str, int], grounds: list[Ground], figures: str | None = None) -> dict[str, int]:
    """Write what a rendered set is made of; return the number of tiles per split."""
    made = {split: counts.get(split, 0) for split in SPLITS}
    source: dict[str, object] = {
        "data": "people rendered on real ground",
        "split": "by place",
        "grounds": [
            {"name": g.name, "source": g.source, "licence": g.licence, "use": g.use, "pictures": len(g.pictures)}
            for g in grounds
        ],
        "licence": "; ".join(f"{g.source} ({g.licence})" for g in grounds),
    }
    if figures is not None:
        source["figures"] = figures
    write_description(out, ["person"], made, source)
    return made
