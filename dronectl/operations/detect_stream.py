# SPDX-License-Identifier: AGPL-3.0-or-later
"""A run of `dronectl detect` over live streams, until their time is over, Ctrl-C, or all of them are lost.

Each stream has a thread that waits for its frames; they look by turns, with the same detectors, each for its fair share of
the time. Whoever is not at its turn drops what is old in the meantime. A stream that is lost ends alone.
"""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any, Final

from dronectl.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_GOAL_MISSED,
    EXIT_UNAVAILABLE,
    BadInputError,
    UnavailableError,
)
from dronectl.operations.detect_lines import Lines
from dronectl.operations.detect_run import DetectRequest, load_detectors, say, say_polarity
from vision.errors import VisionError
from vision.examine import Examiner
from vision.frame import Frame
from vision.sources.streams import LiveStream, StreamAddress, StreamLostError, StreamSettings, StreamUnavailableError
from vision.thread_turns import ThreadTurns

MOST_STREAMS: Final = 16  # each has a process that decodes it
_TELL_S: Final = 10.0


def run_streams(addresses: Sequence[StreamAddress], settings: StreamSettings, request: DetectRequest) -> int:
    """Look at streams and return the exit code; UnavailableError when none ever opens."""
    out = request.outputs.lines
    request.outputs.check()
    labels = _labels(addresses)
    if out is not None and out.exists() and not request.fresh:
        raise BadInputError(f"--out {out}: exists; a stream cannot go on where another ended: --fresh overwrites it")
    learned, classical = load_detectors(request)
    options = request.options()
    turns = ThreadTurns(labels)
    alone = len(addresses) == 1
    with Lines(request) as lines:
        watches = [
            _Watch(
                label,
                label if alone else f"{number}-{label}",
                LiveStream(address, settings, say, request.modality),
                # detectors are shared: only one looks at a time
                Examiner(learned, classical, options, None, say),
                turns,
                lines,
            )
            for number, (label, address) in enumerate(zip(labels, addresses, strict=True), 1)
        ]
        _watch(watches, learned.name)
        for watch in watches:
            if watch.error is not None:
                raise watch.error
        never = [watch for watch in watches if watch.never is not None]
        if len(never) == len(watches):
            raise UnavailableError("; ".join(watch.never or "" for watch in never))
        for watch in never:
            lines.write(watch.last_line())
        lines.finish(say)
    codes = [watch.close(request) for watch in watches]
    return codes[0] if len(set(codes)) == 1 else EXIT_GOAL_MISSED


def _labels(addresses: Sequence[StreamAddress]) -> list[str]:
    """What each stream is called in lines: its label, with its number where several have the same. BadInputError."""
    if len(addresses) > MOST_STREAMS:
        raise BadInputError(
            f"{len(addresses)} streams: at most {MOST_STREAMS} at once, for each is decoded whole; the cameras of a site file "
            "are looked at by sampling"
        )
    twice = [a for a, count in Counter(addresses).items() if count > 1]
    if twice:
        raise BadInputError(f"{twice[0].label}: is given twice")
    count = Counter(a.label for a in addresses)
    return [a.label if count[a.label] == 1 else f"{a.label} #{n}" for n, a in enumerate(addresses, 1)]


def _watch(watches: Sequence[_Watch], detector: str) -> None:
    """Run all to their end. A signal ends them as any other end would: tracks end, and what was seen is written."""

    def end(*_: object) -> None:
        for watch in watches:
            watch.end()

    for watch in watches:
        watch.thread = threading.Thread(target=watch.run, args=(detector, end), name=f"watch {watch.label}")
    with _ended_by_signals(end):
        try:
            for watch in watches:
                watch.thread.start()
            for watch in watches:
                watch.thread.join()
        finally:
            end()
            for watch in watches:
                if watch.thread.is_alive():
                    watch.thread.join()
    if any(watch.asked for watch in watches) and not any(watch.error for watch in watches):
        say("ended as asked")


class _Watch:
    """One stream: its thread, and what came of it."""

    def __init__(
        self, label: str, pictures: str, stream: LiveStream, examiner: Examiner, turns: ThreadTurns, lines: Lines
    ) -> None:
        """pictures: what the names of its pictures begin with."""
        self.label, self._pictures = label, pictures
        self._stream, self._examiner = stream, examiner
        self._turns, self._lines = turns, lines
        self._over = False
        self.thread = threading.Thread()
        self.asked = False  # it was told to end while it went on
        self.lost = False
        self.never: str | None = None  # why it never gave a picture
        self.error: Exception | None = None  # what ends the whole run

    def end(self) -> None:
        """End soon, from any thread."""
        self.asked = self.asked or not self._over
        self._stream.end()

    def run(self, detector: str, end_all: Callable[[], None]) -> None:
        """Look until the end. What is wrong with more than this stream ends all of them."""
        try:
            self._run(detector)
        except VisionError as error:
            self.error = BadInputError(str(error))
        except Exception as error:  # noqa: BLE001  # told by the thread that waits for this one
            self.error = error
        finally:
            self._over = True
            if self.error is not None:
                end_all()

    def _run(self, detector: str) -> None:
        told = time.monotonic()
        with closing(self._frames(detector)) as frames:
            for line in self._examiner.stream(self.label, frames, self._pictures):
                self._tell_gaps()
                self._lines.write(line)
                if time.monotonic() - told >= _TELL_S:
                    told = time.monotonic()
                    tally = self._examiner.tally
                    say(
                        f"{self.label}: {tally.pictures} frame(s), {self._stream.stats.dropped} dropped, "
                        f"{tally.detections} detection(s), {tally.tracks} track(s)"
                    )
        if self.never is None:
            self._tell_gaps()
            self._lines.write(self.last_line())

    def _frames(self, detector: str) -> Generator[Frame, None, None]:
        """The stream's frames, each with the turn to look at it, which is over when the next one is asked for."""
        first = True
        try:
            for frame in self._stream.frames():
                if first:
                    first = False
                    say(f"{self.label}: {frame.width_px}x{frame.height_px}, {detector}; Ctrl-C ends")
                with self._turns.of(self.label):
                    yield frame
        except StreamUnavailableError as error:
            self.never = str(error)
            say(self.never)
        except StreamLostError as error:
            self.lost = True
            say(str(error))
        else:
            if first:
                self.never = f"{self.label}: no picture before it was to end"
                say(self.never)

    def _tell_gaps(self) -> None:
        for gap in self._stream.take_gaps():
            self._lines.write({"type": "gap", "source": self.label, **asdict(gap)})

    def last_line(self) -> dict[str, Any]:
        """How it ended and what was counted."""
        lost = self.lost or self.never is not None
        return {"type": "stream", "source": self.label, "lost": lost, **asdict(self._stream.stats)}

    def close(self, request: DetectRequest) -> int:
        """Say what came of it and return its exit code."""
        if self.never is not None:
            return EXIT_UNAVAILABLE
        tally, stats, evidence_lost = self._examiner.tally, self._stream.stats, self._examiner.evidence_lost
        if request.as_json:
            head = {"source": self.label, "lost": self.lost, "evidence_lost": evidence_lost}
            say(json.dumps(head | asdict(stats) | asdict(tally)))
        else:
            say(
                f"{self.label}: {tally.pictures} frame(s) looked at, {stats.dropped} dropped, {stats.stalls} stall(s), "
                f"{stats.reconnects} reconnection(s), {tally.detections} detection(s), {tally.tracks} track(s), "
                f"{tally.not_looked_at} not looked at"
            )
        say_polarity(request, tally, f"{self.label}: ")
        if tally.without_gsd:
            say(
                f"{tally.without_gsd} frame(s) without a ground sample distance: sizes unknown, hot spots not judged; "
                "state it with --gsd-cm, or --height-m and --hfov-deg"
            )
        if evidence_lost:
            say(f"{evidence_lost} picture(s) of evidence could not be written, and are lost")
        if tally.pictures and tally.not_looked_at == tally.pictures:
            say(f"{self.label}: none of its frames is for this model")
            return EXIT_BAD_INPUT
        return EXIT_GOAL_MISSED if self.lost or tally.not_looked_at or evidence_lost else EXIT_DONE


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
