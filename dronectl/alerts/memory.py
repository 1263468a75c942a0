# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a dispatch system has acted on: an append-only file of JSON lines, one per message, that is also its memory.

A message counts as acted on when its line is on the disk (fsync). There is no second place that could disagree: after
any crash the file says what was done, and a line that a crash has torn was not done and is taken off. So a message
that comes again is acknowledged again and acted on once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dronectl.errors import BadInputError


class ActionLog:
    """The file, held by one process at a time. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._ids: set[str] = set()
        self._sequences: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise BadInputError(f"{self._path}: cannot be opened ({error.strerror})") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError:
            os.close(self._descriptor)
            raise BadInputError(f"{self._path}: another `alerts tail` is using it; give another file") from None
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def alerts(self) -> int:
        """How many alerts it knows."""
        return len(self._sequences)

    def has(self, event_id: str) -> bool:
        """Whether this message was acted on."""
        return event_id in self._ids

    def newest(self, alert_id: str) -> int:
        """The highest sequence of an alert that was acted on; 0 for none."""
        return self._sequences.get(alert_id, 0)

    def add(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Append lines and force them to the disk. Each needs id, alert_id and sequence. Raises BadInputError."""
        entries = list(entries)
        text = "".join(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n" for entry in entries)
        data = memoryview(text.encode())
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, end)  # a half line must not stand before the next one
            raise BadInputError(f"{self._path}: cannot be written ({error.strerror})") from None
        for entry in entries:
            self._remember(entry)

    def _remember(self, entry: Mapping[str, Any]) -> None:
        self._ids.add(entry["id"])
        self._sequences[entry["alert_id"]] = max(self.newest(entry["alert_id"]), int(entry["sequence"]))

    def _read(self) -> None:
        end = 0
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # torn by a crash
                try:
                    self._remember(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    raise BadInputError(
                        f"{self._path}: line {number} is none of ours: move the file away or give another one"
                    ) from None
                end += len(line)
        os.ftruncate(self._descriptor, end)
