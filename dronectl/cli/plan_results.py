# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a planner's result to its files: what every `dronectl plan` command writes, and how it says where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dronectl.cli.common import out, print_json, write_files
from dronectl.operations.plan_outputs import PlannedFlights, common_files, with_common_keys

SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Written:
    """A summary as it was written, and all files."""

    summary: Mapping[str, Any]
    files: tuple[Path, ...]

    def print_json(self) -> None:
        """The summary with the files, for machines."""
        print_json({**self.summary, "files": [str(p) for p in self.files]})

    def say(self) -> None:
        """Where the files are, for people."""
        out.print(f"Written: {', '.join(str(p) for p in self.files)}", markup=False)


def write_result(
    folder: Path,
    planned: PlannedFlights,
    document: Mapping[str, Any],
    texts: Mapping[str, str],
    *,
    besides: Mapping[str, Any] | None = None,
    summary_name: str = SUMMARY,
) -> Written:
    """Write the flights, the planner's own document under the common keys, and its other texts (name to content).

    besides: keys of the summary that the planner does not know, such as how it was asked. Raises BadInputError where two
    flights would have one file, or the folder cannot be written.
    """
    summary = {**with_common_keys(document, planned), **(besides or {})}
    said = json.dumps(summary, ensure_ascii=False, indent=2) + "\n"
    return Written(summary, tuple(write_files(folder, {**common_files(planned), summary_name: said, **texts})))
