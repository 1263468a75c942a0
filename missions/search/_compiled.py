# SPDX-License-Identifier: AGPL-3.0-or-later
"""Compilation of inner loops where numba is installed; without it the same functions run as they are, slower."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])

COMPILED = importlib.util.find_spec("numba") is not None


def compiled(function: _F) -> _F:
    """Compile with numba, kept on disk where that is possible; both ways give the same results.

    What is kept knows its own file only: after a change of a function that others call, clear `__pycache__`.
    """
    if not COMPILED:
        return function
    numba: Any = importlib.import_module("numba")
    try:
        made: _F = numba.njit(cache=True)(function)
    except RuntimeError:  # nowhere to keep it: a read-only installation
        made = numba.njit(function)
    return made
