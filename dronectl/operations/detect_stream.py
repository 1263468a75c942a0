# SPDX-License-Identifier: AGPL-3.0-or-later
"""A run of `dronectl detect` over one live stream, until its time is over, Ctrl-C, or the stream is lost."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

from dronectl.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_GOAL_MISSED, BadInputError, UnavailableError
from dronectl.operations.detect_journal import journal_path
from dronectl.operations.detect_run import DetectRequest, encode, load_detectors, make_more, put, say, wants_more
from vision.errors import VisionError
from vision.examine import Examiner
from vision.frame import Frame
from vision.sources.streams import LiveStream, StreamAddress, StreamLostError, StreamSettings, StreamUnavailableError

_FLUSH_S: Final = 1.0
_TELL_S: Final = 10.0


def run_stream(address: StreamAddress, settings: StreamSettings, request: DetectRequest) -> int:
    """Look at a stream and return the exit code; UnavailableError when it never opens."""
    out = request.outputs.lines
    request.outputs.check()
    if out is not None and out.exists() and not request.fresh:
        raise BadInputError(f"--out {out}: exists; a stream cannot go on where another ended: --fresh overwrites it")
    learned, classical = load_detectors(request)
    stream = LiveStream(address, settings, say, request.modality)
    frames = stream.frames()
    try:
        first = next(frames, None)
    except StreamUnavailableError as error:
        raise UnavailableError(str(error)) from error
    if first is None:
        raise UnavailableError(f"{address.label}: no picture within the {settings.run_s:g} s of --seconds")
    say(f"{address.label}: {first.width_px}x{first.height_px}, {learned.name}; Ctrl-C ends")
    examiner = Examiner(learned, classical, request.options(), None, say)
    with _sink(out, request) as (write, lines):
        lost = _look(examiner, stream, itertools.chain([first], frames), address.label, write)
        write({"type": "stream", "source": address.label, "lost": lost, **asdict(stream.stats)})
        if lines is not None:
            lines.flush()
            make_more(request, lines, say)
    return _close(examiner, stream, address.label, request, lost=lost)


def _look(examiner: Examiner, stream: LiveStream, frames: Iterator[Frame], label: str, write: Any) -> bool:
    """Write lines until the end and return whether the stream was lost."""
    told = time.monotonic()
    watched = _Watched(frames)
    try:
        with _ended_by_signals(watched.end):
            for line in examiner.stream(label, watched):
                for gap in stream.take_gaps():
                    write({"type": "gap", "source": label, **asdict(gap)})
                write(line)
                if time.monotonic() - told >= _TELL_S:
                    told = time.monotonic()
                    say(
                        f"{label}: {examiner.tally.pictures} frame(s), {stream.stats.dropped} dropped, "
                        f"{examiner.tally.detections} detection(s), {examiner.tally.tracks} track(s)"
                    )
    except VisionError as error:
        raise BadInputError(str(error)) from error
    if watched.lost is not None:
        say(watched.lost)
    for gap in stream.take_gaps():
        write({"type": "gap", "source": label, **asdict(gap)})
    return watched.lost is not None


class _Watched:
    """Frames that end where the stream is lost or somebody ends it, so that tracks end as they would at any other end.

    A signal that comes while a frame is looked at waits for the look; one that comes while waiting ends the wait.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self._waiting = False
        self._ended = False
        self.lost: str | None = None

    def end(self, *_: object) -> None:
        """Handle SIGINT and SIGTERM."""
        self._ended = True
        if self._waiting:
            self._waiting = False  # a second one must not hit what is done on the way out
            raise KeyboardInterrupt

    def __iter__(self) -> Iterator[Frame]:
        while not self._ended:
            try:
                self._waiting = not self._ended
                frame = next(self._frames, None)
                self._waiting = False
            except StreamLostError as error:
                self._waiting = False
                self.lost = str(error)
                return
            except KeyboardInterrupt:
                break
            if frame is None:
                return
            yield frame
        say("ended as asked")


@contextlib.contextmanager
def _ended_by_signals(handler: Callable[..., None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def _sink(out: Path | None, request: DetectRequest) -> Iterator[tuple[Any, BinaryIO | None]]:
    """(function that writes a line, the lines to read again where something is made of them)."""
    if out is None:
        with tempfile.TemporaryFile() if wants_more(request) else contextlib.nullcontext() as spool:

            def to_stdout(line: dict[str, Any]) -> None:
                data = encode(line)
                put(data, now=True)  # whoever reads a stream's lines wants them now
                if spool is not None:
                    spool.write(data)

            yield to_stdout, spool
        return
    try:
        journal_path(out).unlink(missing_ok=True)
        file = out.open("w+b")
    except OSError as error:
        raise BadInputError(f"--out {out}: {error.strerror or error}") from error
    flushed = time.monotonic()

    def to_file(line: dict[str, Any]) -> None:
        nonlocal flushed
        try:
            file.write(encode(line))
            if time.monotonic() - flushed >= _FLUSH_S:
                flushed = time.monotonic()
                file.flush()
        except OSError as error:
            raise BadInputError(f"--out {out}: {error.strerror or error}; lines before it are in the file") from error

    try:
        yield to_file, file
    finally:
        with contextlib.suppress(OSError):
            file.close()


def _close(examiner: Examiner, stream: LiveStream, label: str, request: DetectRequest, *, lost: bool) -> int:
    tally, stats = examiner.tally, stream.stats
    summary = {"source": label, "lost": lost, "evidence_lost": examiner.evidence_lost, **asdict(stats), **asdict(tally)}
    if request.as_json:
        say(json.dumps(summary))
    else:
        say(
            f"{tally.pictures} frame(s) looked at, {stats.dropped} dropped, {stats.stalls} stall(s), "
            f"{stats.reconnects} reconnection(s), {tally.detections} detection(s), {tally.tracks} track(s), "
            f"{tally.not_looked_at} not looked at"
        )
    if tally.without_gsd:
        say(
            f"{tally.without_gsd} frame(s) without a ground sample distance: sizes unknown, hot spots not judged; "
            "state it with --gsd-cm, or --height-m and --hfov-deg"
        )
    if examiner.evidence_lost:
        say(f"{examiner.evidence_lost} picture(s) of evidence could not be written, and are lost")
    if tally.pictures and tally.not_looked_at == tally.pictures:
        say(f"{label}: none of its frames is for this model")
        return EXIT_BAD_INPUT
    return EXIT_GOAL_MISSED if lost or tally.not_looked_at or examiner.evidence_lost else EXIT_DONE
