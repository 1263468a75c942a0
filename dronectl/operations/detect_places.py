# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the results of `dronectl detect` go: places that can be written, and nothing of the user's among them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dronectl.errors import BadInputError
from dronectl.operations.detect_journal import journal_path
from vision.sources.stills import PICTURES, VIDEOS


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where results go; None: not wanted, and lines to standard output."""

    lines: Path | None = None
    annotate: Path | None = None
    geojson: Path | None = None
    review: Path | None = None

    @property
    def review_dir(self) -> Path | None:
        """Where the pictures of the review page lie: in a folder beside it."""
        return None if self.review is None else self.review.with_name(f"{self.review.stem}-pictures")

    @property
    def _files(self) -> list[tuple[str, Path]]:
        named = (("--out", self.lines), ("--geojson", self.geojson), ("--review", self.review))
        return [(option, path) for option, path in named if path is not None]

    def check(self) -> None:
        """BadInputError for what could not be written at the end of hours of work, or would overwrite what is no result."""
        taken: dict[Path, str] = {}
        for option, path in self._files:
            if path.is_dir() or not path.absolute().parent.is_dir():
                what = "is a folder" if path.is_dir() else "its folder does not exist"
                raise BadInputError(f"{option} {path}: {what}")
            if path.suffix.lower() in PICTURES | VIDEOS:  # a name forgotten, and the shell put the first picture there
                raise BadInputError(f"{option} {path}: is the name of a picture or a video, which would be overwritten")
            if taken.setdefault(path.resolve(), option) != option:
                raise BadInputError(f"{option} {path}: {taken[path.resolve()]} goes there, too")
            _writable(option, path, path.absolute().parent)
        for option, folder in (("--annotate", self.annotate), ("--review", self.review_dir)):
            if folder is not None:
                _folder(option, folder)

    def spare(self, sources: Sequence[Path]) -> None:
        """BadInputError where a result would overwrite one of the files that are to be looked at."""
        real = {path.resolve() for path in sources}
        for option, path in self._files:
            if path.resolve() in real or (option == "--out" and journal_path(path).resolve() in real):
                raise BadInputError(f"{option} {path}: is one of the files to be looked at, and would be overwritten")


def _writable(option: str, path: Path, folder: Path) -> None:
    """A result is written beside its place and then renamed: the folder must take files."""
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise BadInputError(f"{option} {path}: cannot be written there; it is read-only")


def _folder(option: str, folder: Path) -> None:
    """A folder for pictures, made with the first of them: one that cannot be made costs all evidence."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise BadInputError(f"{option} {folder}: {there} is no folder, so that no pictures can be written there")
    _writable(option, there, there)
