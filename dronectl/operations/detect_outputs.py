# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files made of the lines of `dronectl detect`: GeoJSON and the review page. Written beside, then renamed: whole or not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from dronectl.errors import BadInputError
from vision.examine_lines import Line
from vision.geojson import features
from vision.merge_stills import things
from vision.review import page
from vision.review_things import Looked


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines from the beginning, one at a time."""
    file.seek(0)
    for line in file:
        yield json.loads(line)


def write_geojson(path: Path, lines: BinaryIO) -> int:
    """Write a FeatureCollection and return how many features it has."""
    count = 0

    def parts() -> Iterator[str]:
        nonlocal count
        yield '{"type":"FeatureCollection","features":['
        for made in features(things(read_lines(lines))):
            text = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
            yield (",\n" if count else "\n") + text.encode("utf-8", "backslashreplace").decode()
            count += 1
        yield "\n]}\n"

    _write("--geojson", path, parts())
    return count


def write_review(path: Path, pictures: str, lines: BinaryIO) -> int:
    """Write the review page and return how many cards it has. pictures: the folder beside it."""
    digest, looked = hashlib.sha256(), Looked()
    for line in read_lines(lines):
        looked.add(line)
        if line.get("type") == "track" or line.get("detections"):
            digest.update(str(line["source"]).encode("utf-8", "backslashreplace"))
    found = list(things(read_lines(lines)))
    _write("--review", path, page(found, digest.hexdigest()[:16], pictures, looked))
    return len(found)


def _write(option: str, path: Path, parts: Iterable[str]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for part in parts:
                file.write(part)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise BadInputError(
            f"{option} {path}: {error.strerror or error}; the lines are whole, the same command makes it again"
        ) from error
