# SPDX-License-Identifier: AGPL-3.0-or-later
"""What people read live, in English or in Chinese (ADR 11): gettext of the standard library, over one catalogue that ships.

Messages stand in English where they are said, `tr("... {who} ...", who=...)`; the catalogue has them in Chinese, and
what it lacks is English, whole. One process speaks one language, chosen once. Nothing that a machine reads goes
through here, and no catalogue is opened until something is said in Chinese.
"""

from __future__ import annotations

import gettext
import os
import sys
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

VARIABLE: Final = "DRONECTL_LANG"
_LOCALES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")  # as POSIX ranks them
_SAMPLE: Final = "链路丢失，返航。"  # Simplified: a character set that has only the Traditional forms lacks these
_FOLDER: Final = Path(__file__).parent / "locale"

Translations = gettext.NullTranslations


class Language(StrEnum):
    """Languages that can be spoken."""

    EN = "en"
    ZH = "zh"


_chosen: Language | None = None


def speak(language: Language | None) -> None:
    """Choose the language of this process; None: the environment's."""
    global _chosen  # noqa: PLW0603  # as gettext's own `install`: one process talks to one person
    _chosen = language


def spoken() -> Language:
    """The language of what is said now: as chosen, else $DRONECTL_LANG, else the locale's.

    English where the output's character set cannot write Chinese: a line of question marks helps nobody.
    """
    wanted = _chosen or _of_environment()
    return wanted if wanted is Language.EN or _can_write_chinese() else Language.EN


def _of_environment() -> Language:
    named = os.environ.get(VARIABLE, "")
    if named in tuple(Language):
        return Language(named)
    locale = next((value for name in _LOCALES if (value := os.environ.get(name))), "")
    return Language.ZH if locale.lower().startswith("zh") else Language.EN


def _can_write_chinese() -> bool:
    for stream in (sys.stdout, sys.stderr):
        try:
            _SAMPLE.encode(getattr(stream, "encoding", None) or "utf-8")
        except (UnicodeEncodeError, LookupError):
            return False
    return True


@cache
def _catalogue(language: Language) -> Translations:
    if language is Language.EN:
        return Translations()
    return gettext.translation("dronectl", _FOLDER, [language])


def tr(message: str, /, **values: object) -> str:
    """A message in the language that is spoken, its {fields} filled in."""
    return _catalogue(spoken()).gettext(message).format(**values)


def tr_many(one: str, many: str, count: int, /, **values: object) -> str:
    """The same of a message whose English has a singular and a plural."""
    return _catalogue(spoken()).ngettext(one, many, count).format(**values)


def name(of: str, word: str) -> str:
    """A word of a closed set (`of`: "level", "phase", ...), or what a machine says word by word, as people say it.

    A word that is not known stays what it is.
    """
    return _catalogue(spoken()).pgettext(of, word)


def known(of: str, word: str) -> bool:
    """Whether `name` has a word of its own for it; never in English, which needs none."""
    return spoken() is not Language.EN and name(of, word) != word
