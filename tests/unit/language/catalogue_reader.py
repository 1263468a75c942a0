# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Chinese catalogue as gettext reads it, and what the sources ask of it."""

from __future__ import annotations

import ast
import gettext
import string
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "dronectl" / "locale" / "zh" / "LC_MESSAGES"

Key = tuple[str | None, str]  # context and English


def read_mo(file: Path) -> dict[Key, str]:
    """Every message; of one with a plural the first form."""
    with file.open("rb") as stream:
        catalogue = gettext.GNUTranslations(stream)._catalog
    found: dict[Key, str] = {}
    for key, text in catalogue.items():
        message = key[0] if isinstance(key, tuple) else key
        context, _, rest = message.rpartition("\x04")
        if rest:
            found[context or None, rest] = text
    return found


def calls(*names: str) -> Iterator[tuple[Path, ast.Call]]:
    """Every call of these functions by their bare names in the files that import them from `dronectl.language`."""
    for file in sorted((ROOT / "dronectl").rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        if "from dronectl.language import" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield file, node


def fields(message: str) -> set[tuple[str, str]]:
    """The {fields} of a message with their formats."""
    return {(field, spec or "") for _, field, spec, _ in string.Formatter().parse(message) if field}
