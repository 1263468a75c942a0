# SPDX-License-Identifier: AGPL-3.0-or-later
"""How far a run over thousands of files is: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from dronectl.plain_text import clean

_FEW: Final = 20  # so many files get a line each
_EVERY_S: Final = 10.0


class _Rate(ProgressColumn):
    """Files per second, by rich's own moving window."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


class Watcher:
    """Tells people on standard error. A context manager."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._skipped, self._found = total, 0, 0, 0
        self._began = self._told = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
            self._bar = Progress(
                BarColumn(), MofNCompleteColumn(), _Rate(), TextColumn("left"), TimeRemainingColumn(),
                TextColumn("{task.description}", markup=False), console=console, speed_estimate_period=60.0,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A line that stays. It may quote the name of a file, which steers no terminal."""
        text = clean(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False)
        else:
            sys.stderr.write(text + "\n")

    def skip(self, count: int) -> None:
        """So many were done by an earlier run."""
        self._done += count
        self._skipped += count
        if self._bar is not None:
            self._bar.reset(self._task, total=self._total, completed=self._done)

    def step(self, name: str, found: int, *, read: bool = True) -> None:
        """One more is done, with so many detections; read: all of it could be read."""
        self._done += 1
        self._found += found
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=f"{self._found} detection(s)")
            return
        if self._total <= _FEW:
            said = f"{found} detection(s)" if read or found else "unreadable"
            self.say(f"[{self._done}/{self._total}] {name}: {said}")
            return
        now = time.monotonic()
        if now - self._told < _EVERY_S and self._done < self._total:
            return
        self._told = now
        rate = (self._done - self._skipped) / max(now - self._began, 1e-6)
        left = (self._total - self._done) / rate if rate > 0 else 0.0
        self.say(
            f"[{self._done}/{self._total}] {self._found} detection(s), {rate:.1f} files/s, "
            f"{int(left) // 60}:{int(left) % 60:02d} left"
        )
