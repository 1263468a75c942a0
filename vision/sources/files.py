# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files and folders that were named: found, counted where they cannot be read, and never larger than memory can take."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vision.errors import PictureError
from vision.sources.coded_size import stated_jpeg_size
from vision.sources.exif import tiff_size

_MOST_BYTES: Final = 400 << 20
#: Of pictures and videos that nothing here reads: whoever has them in a folder shall not think that they were looked at.
_NOT_READ: Final = frozenset(
    {
        ".heic", ".heif", ".avif", ".webp", ".gif", ".jp2", ".jxl", ".dng", ".raf", ".cr2", ".cr3", ".nef", ".arw",
        ".rjpg", ".seq", ".csq", ".fff", ".irg", ".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp", ".h265",
        ".hevc", ".zip",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """Files to look at, sorted below each folder and each once; and folders that could not be read, each with why.

    other: how many files of each suffix are pictures or videos that nothing here reads, as (".heic", 12).
    """

    files: tuple[Path, ...]
    unreadable: tuple[str, ...]
    other: tuple[tuple[str, int], ...] = ()


def find_files(paths: Sequence[Path], suffixes: frozenset[str]) -> Found:
    """What is named or lies in named folders and below them, also through links, and ends in one of the suffixes.

    PictureError for what is named and neither such a file nor a folder that holds one.
    """
    files: list[Path] = []
    unreadable: list[str] = []
    other: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            refused: list[str] = []
            below = list(_below(path, refused))
            inside = sorted(p for p in below if p.suffix.lower() in suffixes and _is_for_us(p))
            unread = {p.resolve(): p.suffix.lower() for p in below if p.suffix.lower() in _NOT_READ - suffixes}
            if not inside:
                but = f", only {how_many(Counter(unread.values()))}, which it does not read" if unread else ""
                raise PictureError("; ".join(refused) or f"{path}: no pictures or videos in this folder{but}")
            files += inside
            unreadable += refused
            other |= unread
        elif not path.exists():
            raise PictureError(f"{path}: no such file or folder")
        elif path.suffix.lower() not in suffixes:
            raise PictureError(f"{path}: neither a picture nor a video ({', '.join(sorted(suffixes))})")
        else:
            files.append(path)
    once: dict[Path, Path] = {}
    for path in files:
        once.setdefault(path.resolve(), path)
    return Found(tuple(once.values()), tuple(dict.fromkeys(unreadable)), tuple(sorted(Counter(other.values()).items())))


def how_many(by_suffix: Mapping[str, int]) -> str:
    """Counts by suffix in words, as in 12 .heic, 3 .webp."""
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(by_suffix.items()))


def _is_for_us(path: Path) -> bool:
    """A file, or a link that leads nowhere, which is told of as unreadable; no pipe, which would be waited for."""
    return path.is_file() or not path.exists()


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
