# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files and folders that were named: found, counted where they cannot be read, and never larger than memory can take."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vision.errors import PictureError
from vision.sources.coded_size import stated_jpeg_size
from vision.sources.exif import tiff_size

_MOST_BYTES: Final = 400 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """Files to look at, sorted below each folder and each once; and folders that could not be read, each with why."""

    files: tuple[Path, ...]
    unreadable: tuple[str, ...]


def find_files(paths: Sequence[Path], suffixes: frozenset[str]) -> Found:
    """What is named or lies in named folders and below them, also through links, and ends in one of the suffixes.

    PictureError for what is named and neither such a file nor a folder that holds one.
    """
    files: list[Path] = []
    unreadable: list[str] = []
    for path in paths:
        if path.is_dir():
            refused: list[str] = []
            inside = sorted(p for p in _below(path, refused) if p.suffix.lower() in suffixes and p.is_file())
            if not inside:
                raise PictureError("; ".join(refused) or f"{path}: no pictures or videos in this folder")
            files += inside
            unreadable += refused
        elif not path.exists():
            raise PictureError(f"{path}: no such file or folder")
        elif path.suffix.lower() not in suffixes:
            raise PictureError(f"{path}: neither a picture nor a video ({', '.join(sorted(suffixes))})")
        else:
            files.append(path)
    once: dict[Path, Path] = {}
    for path in files:
        once.setdefault(path.resolve(), path)
    return Found(tuple(once.values()), tuple(dict.fromkeys(unreadable)))


def _below(folder: Path, refused: list[str]) -> Iterator[Path]:
    """All files of a folder and of those below it; links that lead round in a circle are followed once."""
    seen = {folder.resolve()}

    def refuse(error: OSError) -> None:
        refused.append(f"{error.filename}: this folder cannot be read: {error.strerror}")

    for at, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(at)
        for name in list(folders):
            real = (here / name).resolve()
            if real in seen:
                folders.remove(name)
            seen.add(real)
        yield from (here / name for name in names)


def read_bytes(path: Path) -> bytes:
    """A picture's file. PictureError for one that cannot be read, or is larger than any picture that could be looked at."""
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise PictureError(f"{path}: larger than {_MOST_BYTES >> 20} MB; cut it into parts")
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error


def stated_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a PNG, BMP, JPEG or TIFF states; None where it states none."""
    try:
        if data.startswith(b"\x89PNG"):
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"BM"):
            width, height = (abs(side) for side in struct.unpack_from("<ii", data, 18))
        elif data.startswith(b"\xff\xd8"):
            return stated_jpeg_size(data)
        else:
            return tiff_size(data)
    except struct.error:
        return None
    return width, height
