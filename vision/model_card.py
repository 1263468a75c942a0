# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes with a model file: classes, preparation, the ground sample distances it is meant for, and its hash.

A model `x.onnx` may have `x.json` beside it (written by `vision.train`); without one the number of classes decides.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vision.errors import ModelError
from vision.sighting import Kind

THERMAL_CLASSES: Final = ("person", "car", "bicycle", "other_vehicle")
DEFAULT_MODEL: Final = Path(__file__).parent / "models" / "thermal_person.onnx"
COLOUR_MODEL: Final = DEFAULT_MODEL.with_name("rgb_person.onnx")
_NAMES: Final[Mapping[Kind, str]] = {
    Kind.PERSON: "person persons people pedestrian pedestrians human humans man woman child swimmer",
    Kind.VEHICLE: "vehicle vehicles car cars van bus truck lorry tractor bicycle bike motor motorcycle motorbike tricycle"
    " awning_tricycle other_vehicle",
    Kind.ANIMAL: "animal animals dog cow cattle horse sheep goat deer elk boar wild_boar bear",
    Kind.STALL: "stall stalls market_stall street_stall vendor_stall food_stall booth kiosk food_cart",
    Kind.SMOKE: "smoke",
    Kind.FIRE: "fire fires flame flames",
}
_NAMED: Final = 8
_KIND_OF_CLASS: Final[Mapping[str, Kind]] = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def kind_of_class(name: str) -> Kind | None:
    """As what things of a model's class are reported, however its name is written; None: as nothing."""
    return _KIND_OF_CLASS.get(re.sub(r"[\s_-]+", "_", name.strip().lower()))


def unreported(classes: Sequence[str]) -> str | None:
    """What to say of classes of which nothing will be reported; None where there are none."""
    strange = [name for name in classes if kind_of_class(name) is None]
    if not strange:
        return None
    more = f" and {len(strange) - _NAMED} more" if len(strange) > _NAMED else ""
    told = f"{', '.join(strange[:_NAMED])}{more}"
    return f"things of class {told} are not reported: names that are understood are {', '.join(_KIND_OF_CLASS)}"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """How a model wants its pictures and what its outputs mean.

    `low_percentile` and `high_percentile` of a thermal frame become black and white; a frame whose percentiles are
    closer than `min_span_c` is stretched as if they were that far apart, so that noise is not blown up.
    gsd_*_m: metres per pixel on the ground within which the figures of the card hold; None where nothing is known.
    """

    name: str
    sha256: str
    classes: tuple[str, ...]
    modality: str = "thermal"
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    min_span_c: float = 2.0
    confidence: float = 0.25
    search_confidence: float = 0.1  # for use under a tracker: more finds, and the k-of-n rule to judge them
    gsd_min_m: float | None = None
    gsd_max_m: float | None = None
    figure_px: tuple[float, float] | None = None  # how long a curled-up figure should be in its tiles; None: as usual
    experimental: bool = False  # its figures do not carry a search; whoever sees its findings is told
    caution: str = ""  # of an experimental model: what it was measured to miss, in one sentence

    @property
    def label(self) -> str:
        """Name and the first digits of the hash: enough to say in an alert which model it was."""
        return f"{self.name}@{self.sha256[:12]}"


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; ModelError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"model {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def read_card(model: Path, class_count: int | None = None) -> ModelCard:
    """The card of a model file, from the JSON beside it where there is one.

    class_count: what the model puts out; a card that says otherwise is refused, and without a card four classes are
    taken for the thermal set. Raises ModelError.
    """
    sha256 = file_sha256(model)
    sidecar = model.with_suffix(".json")
    if sidecar.is_file():
        card = _from_json(model, sidecar, sha256)
    elif class_count is None or class_count == len(THERMAL_CLASSES):
        card = ModelCard(model.stem, sha256, THERMAL_CLASSES)
    elif class_count == 1:
        card = ModelCard(model.stem, sha256, ("person",))
    else:
        raise ModelError(
            f"model {model}: it has {class_count} classes and no {sidecar.name} beside it that names them; "
            "models trained from the ground (COCO) find next to nothing from the air"
        )
    if class_count is not None and class_count != len(card.classes):
        raise ModelError(f"model {model}: it has {class_count} classes, {sidecar.name} names {len(card.classes)}")
    return card


def _range(values: Any) -> tuple[float, float]:
    low, high = (float(value) for value in values)
    if not 0 < low <= high:
        raise ValueError(f"tiles.figure_px {low:g} to {high:g}: expected 0 < least <= most")
    return low, high


def _from_json(model: Path, sidecar: Path, sha256: str) -> ModelCard:
    try:
        raw: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
        classes = raw["classes"]
        if isinstance(classes, dict):
            classes = [classes[key] for key in sorted(classes, key=int)]
        prepare: dict[str, Any] = raw.get("preprocessing") or {}
        gsd: dict[str, Any] = raw.get("gsd_m") or {}
        figure = (raw.get("tiles") or {}).get("figure_px")
        card = ModelCard(
            name=str(raw.get("name", model.stem)),
            sha256=sha256,
            classes=tuple(str(c) for c in classes),
            modality=str(raw.get("modality", "thermal")),
            low_percentile=float(prepare.get("low_percentile", 1.0)),
            high_percentile=float(prepare.get("high_percentile", 99.0)),
            min_span_c=float(prepare.get("min_span_c", 2.0)),
            confidence=float(raw.get("confidence") or 0.25),
            search_confidence=float(raw.get("confidence_search") or 0.1),
            gsd_min_m=None if gsd.get("min") is None else float(gsd["min"]),
            gsd_max_m=None if gsd.get("max") is None else float(gsd["max"]),
            figure_px=None if figure is None else _range(figure),
            experimental=raw.get("status") == "experimental",
            caution=str(raw.get("caution") or ""),
        )
        stated = str(raw.get("sha256", sha256))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"model card {sidecar}: it cannot be read ({type(error).__name__}: {error})") from error
    if stated != sha256:
        raise ModelError(f"model {model}: its SHA-256 is not the one in {sidecar.name}; the file was changed or cut")
    return card
