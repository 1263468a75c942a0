# SPDX-License-Identifier: AGPL-3.0-or-later
"""A run of `dronectl detect` over files: what is left to do, lines to the output, and what it all came to.

Only this command imports it: it brings OpenCV and an inference engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from dronectl.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_GOAL_MISSED, BadInputError, UnavailableError
from dronectl.operations.detect_journal import Journal, is_gone, stamp
from dronectl.operations.detect_outputs import write_geojson, write_review
from dronectl.operations.detect_places import Outputs
from dronectl.operations.detect_progress import Watcher
from dronectl.terrain_io import load_terrain
from missions.geo import GeoPoint
from missions.model import Modality, Polarity
from vision.errors import EngineMissingError, VisionError
from vision.examine import Examiner
from vision.examine_types import ExamineOptions, Names, StatedScale, Tally
from vision.lookers import Lookers
from vision.model_card import COLOUR_MODEL, DEFAULT_MODEL, read_card
from vision.sources.files import find_files, how_many
from vision.sources.raw16 import Counts
from vision.sources.stills import PICTURES, VIDEOS, StillOptions
from vision.thermal import HotSpotDetector
from vision.yolo import load_yolo


@dataclass(frozen=True, slots=True)
class DetectRequest:
    """What the user asked for."""

    outputs: Outputs = field(default_factory=Outputs)
    model: Path | None = None
    engine: str | None = None
    confidence: float | None = None
    gsd_m: float | None = None
    ground_width_m: float | None = None
    hfov_deg: float | None = None
    raw_size: tuple[int, int] | None = None
    dem: Path | None = None
    take_off: GeoPoint | None = None
    counts: str = Counts.RELATIVE.value
    modality: Modality | None = None
    polarity: Polarity | None = None
    every: int = 1
    fresh: bool = False
    as_json: bool = False

    def options(self) -> ExamineOptions:
        """The same for the examiner."""
        return ExamineOptions(
            StatedScale(self.gsd_m, self.ground_width_m),
            StillOptions(self.hfov_deg, self.raw_size, Counts(self.counts), self.modality),
            None if self.dem is None else load_terrain(self.dem),
            self.take_off,
            self.every,
            self.outputs.annotate,
            self.outputs.review_dir,
            self.polarity,
        )

    def settings(self) -> dict[str, Any]:
        """What lines depend on: a run that goes on must have the same."""
        models = [self.model] if self.model is not None else [m for m in (DEFAULT_MODEL, COLOUR_MODEL) if m.is_file()]
        settings = {
            "model": " ".join(read_card(m).label for m in models),
            "confidence": self.confidence,
            "gsd": self.gsd_m,
            "ground width": self.ground_width_m,
            "field of view": self.hfov_deg,
            "raw size": None if self.raw_size is None else list(self.raw_size),
            "height model": None if self.dem is None else str(self.dem),
            "take-off": None if self.take_off is None else [self.take_off.latitude_deg, self.take_off.longitude_deg],
            "counts": self.counts,
            "modality": None if self.modality is None else self.modality.value,
            "every": self.every,
            "review": None if self.outputs.review_dir is None else str(self.outputs.review_dir),
        }
        if self.polarity is not None:  # runs that were begun before it could be stated go on
            settings["polarity"] = self.polarity.value
        return settings


def load_detectors(request: DetectRequest) -> tuple[Lookers, HotSpotDetector]:
    """The detectors of a request, that for colour pictures only when one comes; BadInputError or UnavailableError."""
    ships_colour = request.model is None and COLOUR_MODEL.is_file()
    try:
        main = load_yolo(request.model or DEFAULT_MODEL, request.engine, request.confidence)
        colour = partial(load_yolo, COLOUR_MODEL, request.engine, request.confidence) if ships_colour else None
        return Lookers(main, colour), HotSpotDetector()
    except EngineMissingError as error:
        raise UnavailableError(str(error)) from error
    except VisionError as error:
        raise BadInputError(str(error)) from error


def run_files(paths: Sequence[Path], request: DetectRequest) -> int:
    """Look through files and return the exit code; errors in what was given are BadInputError."""
    request.outputs.check()
    try:
        found = find_files(paths, PICTURES | VIDEOS)
    except VisionError as error:
        raise BadInputError(str(error)) from error
    request.outputs.spare(found.files)
    own = [folder for folder in (request.outputs.annotate, request.outputs.review_dir) if folder is not None]
    files, left_out = _without(found.files, own)
    for folder in own:
        _tidy(folder)
    learned, classical = load_detectors(request)
    with Watcher(len(files)) as watcher:
        if left_out:
            watcher.say(f"{left_out} picture(s) are left out: they lie where this command writes its own")
        for text in found.unreadable:
            watcher.say(text)
        if found.other:
            watcher.say(f"{how_many(dict(found.other))} file(s) are of a kind that is not read, and were not looked at")
        watcher.say(f"{len(files)} file(s), {learned.name}")
        examiner = _examiner(request, learned, classical, files, watcher)
        out = request.outputs.lines
        unmade: BadInputError | None = None
        with _spool(request) if out is None else contextlib.nullcontext() as spool:
            if out is None:
                tally, interrupted = _to_stdout(files, examiner, watcher, spool)
            else:
                tally, interrupted = _to_file(out, files, examiner, watcher, request)
            try:
                with contextlib.nullcontext(spool) if out is None else out.open("rb") as lines:
                    make_more(request, lines, watcher.say)
            except BadInputError as error:  # what came of the looking is told first
                unmade = error
    folders = len(found.unreadable)
    code = close(request, tally, len(files), examiner.evidence_lost, folders, interrupted=interrupted)
    if unmade is not None:
        raise unmade
    return code


def _examiner(
    request: DetectRequest, learned: Lookers, classical: HotSpotDetector, files: Sequence[Path], watcher: Watcher
) -> Examiner:
    try:
        return Examiner(learned, classical, request.options(), Names(files), watcher.say)
    except VisionError as error:
        raise BadInputError(f"--dem {request.dem}: {error}") from error


def _without(files: Sequence[Path], folders: Sequence[Path]) -> tuple[list[Path], int]:
    """Files outside the folders that this run writes to, and how many lie inside; BadInputError if all do."""
    own = [folder.resolve() for folder in folders]
    kept = [path for path in files if not any(path.resolve().is_relative_to(folder) for folder in own)]
    if not kept:
        raise BadInputError(f"{folders[0]}: all pictures lie in the folder that this command writes its own to")
    return kept, len(files) - len(kept)


def _tidy(folder: Path) -> None:
    """Remove halves of pictures that a killed run left."""
    for path in folder.glob(".*.tmp"):
        pid = path.name.rsplit(".", 2)[-2]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _spool(request: DetectRequest) -> Iterator[BinaryIO | None]:
    """A copy of what goes to standard output, where something is made of it afterwards."""
    if not wants_more(request):
        yield None
        return
    with tempfile.TemporaryFile() as file:
        yield file


def wants_more(request: DetectRequest) -> bool:
    """Whether anything is made of the lines afterwards."""
    return request.outputs.geojson is not None or request.outputs.review is not None


def make_more(request: DetectRequest, lines: BinaryIO | None, tell: Callable[[str], None]) -> None:
    """GeoJSON and review page out of the lines."""
    outputs = request.outputs
    if lines is None:
        return
    if outputs.geojson is not None:
        count = write_geojson(outputs.geojson, lines)
        tell(f"{outputs.geojson}: {count} located")
    if outputs.review is not None and outputs.review_dir is not None:
        count = write_review(outputs.review, outputs.review_dir.name, lines)
        tell(f"{outputs.review}: {count} card(s)")


def encode(line: dict[str, Any]) -> bytes:
    """One line of output. File names that are no UTF-8 are escaped, so that the output is."""
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace") + b"\n"


class _GoneError(Exception):
    """All files that are left are no longer there."""


def _present(files: Sequence[Path]) -> Iterator[Path]:
    """The files in turn, until several that are left are all gone: a disk taken off is no heap of unreadable pictures."""
    for number, path in enumerate(files, 1):
        after = len(files) - number
        if after and is_gone(path) and all(map(is_gone, islice(files, number, None))):
            raise _GoneError(
                f"{path} and all {after} file(s) after it are no longer there, as when a disk is taken off"
            )
        yield path


def _to_stdout(
    files: Sequence[Path], examiner: Examiner, watcher: Watcher, spool: BinaryIO | None
) -> tuple[Tally, bool]:
    """(counts, whether it was broken off)."""
    broken = False
    try:
        for path in _present(files):
            found, unread = examiner.tally.detections, examiner.tally.unreadable
            for line in _lines(examiner, path):
                data = encode(line)
                put(data)
                if spool is not None:
                    spool.write(data)
            watcher.step(path.name, examiner.tally.detections - found, read=examiner.tally.unreadable == unread)
    except _GoneError as error:
        broken = True
        watcher.say(str(error))
    put(b"", now=True)
    return examiner.tally, broken


def put(data: bytes, *, now: bool = False) -> None:
    """Write to standard output; BadInputError where it takes no more. now: without waiting for more to write."""
    try:
        sys.stdout.write(data.decode())
        if now:
            sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read it has seen enough
    except OSError as error:
        with contextlib.suppress(OSError):  # what is still in its buffer cannot be written at the end either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BadInputError(f"standard output: {error.strerror or error}; with --out FILE a run can go on") from error


def _lines(examiner: Examiner, path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from examiner.file(path)
    except VisionError as error:  # an engine that gives up: no other picture would fare better
        raise BadInputError(str(error)) from error


def _to_file(
    out: Path,
    files: Sequence[Path],
    examiner: Examiner,
    watcher: Watcher,
    request: DetectRequest,
) -> tuple[Tally, bool]:
    """(counts of this run and those it goes on from, whether it was interrupted)."""
    with Journal(out, request.settings(), fresh=request.fresh) as journal:
        left = _left(files, journal, watcher)
        past = asdict(_tally(journal.tally))
        safe = len(journal.past.done)

        def so_far() -> dict[str, int]:
            return {k: v + past[k] for k, v in asdict(examiner.tally).items()}

        interrupted = False
        try:
            for path in _present(left):
                mark, found, unread = stamp(path), examiner.tally.detections, examiner.tally.unreadable
                for line in _lines(examiner, path):
                    journal.write(encode(line))
                journal.done(path, mark, so_far())
                safe += 1
                watcher.step(path.name, examiner.tally.detections - found, read=examiner.tally.unreadable == unread)
            journal.commit()
        except (KeyboardInterrupt, _GoneError) as error:
            interrupted = True
            journal.commit()
            why = str(error) or "interrupted"
            watcher.say(f"{why}; {safe} of {len(files)} file(s) are done; the same command goes on from there")
        except OSError as error:
            raise BadInputError(
                f"--out {out}: {error.strerror or error}; some {safe} of {len(files)} file(s) are safe in it: "
                "make room and give the same command again"
            ) from error
        return _tally(journal.tally), interrupted


def _tally(counts: dict[str, int]) -> Tally:
    return Tally(**{k: v for k, v in counts.items() if k in Tally.__dataclass_fields__})


def _left(files: Sequence[Path], journal: Journal, watcher: Watcher) -> list[Path]:
    """The files that the journal does not name; those that changed since are named, not done twice."""
    done = journal.past.done
    if not done:
        return list(files)
    left = [path for path in files if str(path) not in done]
    changed = [path for path in files if str(path) in done and done[str(path)] != stamp(path)]
    watcher.skip(len(files) - len(left))
    watcher.say(f"{len(files) - len(left)} file(s) are done already, {len(left)} left (--fresh starts anew)")
    if changed:
        watcher.say(
            f"{len(changed)} of them have changed since they were looked at, as {changed[0]}; --fresh looks again"
        )
    return left


def close(
    request: DetectRequest, tally: Tally, files: int, evidence_lost: int, folders: int = 0, *, interrupted: bool = False
) -> int:
    """Say what came of it and return the exit code. folders: how many could not be read."""
    summary = {
        "files": files,
        "frames": tally.pictures,
        "detections": tally.detections,
        "tracks": tally.tracks,
        "unreadable": tally.unreadable,
        "damaged": tally.damaged,
        "unreadable_folders": folders,
        "not_looked_at": tally.not_looked_at,
        "without_gsd": tally.without_gsd,
        "without_place": tally.without_place,
        "black_hot": tally.black_hot,
        "evidence_lost": evidence_lost,
    }
    if request.as_json:
        say(json.dumps(summary))
    else:
        say(
            f"{tally.pictures} frame(s), {tally.detections} detection(s), {tally.not_looked_at} not looked at, "
            f"{tally.unreadable} file(s) unreadable"
            + (f", {tally.damaged} file(s) damaged" if tally.damaged else "")
            + (f", {folders} folder(s) unreadable" if folders else "")
        )
    say_polarity(request, tally)
    if tally.without_gsd:
        say(
            f"{tally.without_gsd} frame(s) without a ground sample distance: sizes unknown, and of hot spots only the few strongest judged; "
            "state it with --gsd-cm, or --height-m and --hfov-deg"
        )
    if tally.without_place:
        say(f"{tally.without_place} detection(s) without place: their files do not say from where they were taken")
    if evidence_lost:
        say(f"{evidence_lost} picture(s) of evidence could not be written, and are lost")
    nothing = tally.pictures == 0 and tally.unreadable > 0
    if nothing or (tally.pictures and tally.not_looked_at == tally.pictures):
        return EXIT_BAD_INPUT
    missed = tally.unreadable or tally.damaged or folders or tally.not_looked_at or evidence_lost or interrupted
    return EXIT_GOAL_MISSED if missed else EXIT_DONE


def say_polarity(request: DetectRequest, tally: Tally, source: str = "") -> None:
    """What was turned over, and where nothing was that was to be. source: with what follows it, where there are several."""
    if tally.black_hot:
        say(f"{source}{tally.black_hot} frame(s) taken for black-hot, and turned over")
    elif request.polarity is Polarity.BLACK and tally.pictures:
        say(f"{source}--polarity black: applied to nothing: no frame is a thermal one of 8 bits in grey levels")


def say(text: str) -> None:
    """A line for people."""
    sys.stderr.write(text + "\n")
