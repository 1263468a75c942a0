# SPDX-License-Identifier: AGPL-3.0-or-later
"""The two ways in which a user's request ends without a result: their input, or a service they need."""

from __future__ import annotations

from typing import Final

EXIT_DONE: Final = 0
EXIT_GOAL_MISSED: Final = 1
EXIT_BAD_INPUT: Final = 2
EXIT_UNAVAILABLE: Final = 3


def words_of(error: BaseException) -> str:
    """An error's name and words for a log; of many time-outs and broken connections there is the name alone."""
    words = str(error).strip()
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


class BadInputError(Exception):
    """What the user gave cannot be used. One line: what, where, how to mend it. Exit code 2."""


class UnavailableError(Exception):
    """A needed outside service (broker, vehicle, running service) is not there. One line. Exit code 3."""


class StoreError(Exception):
    """The database cannot be used; nothing of the transaction was kept. One line. Exit code 2."""
