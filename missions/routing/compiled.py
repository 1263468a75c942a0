# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether inner loops are compiled: with numba when it is installed, as plain Python otherwise. Decided here, once.

A kernel is one function over flat sequences. Compiled it gets arrays, interpreted it gets lists, which plain Python
reads faster. It uses neither numpy nor a library's random numbers, so that both ways give the same answer bit for bit.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, MutableSequence
from typing import Any, TypeVar

import numpy as np

Floats = MutableSequence[float]
Ints = MutableSequence[int]
_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

SEED_MODULUS = 2_147_483_647  # of the kernels' generator: x <- 48271 x mod 2^31 - 1 (Park, Miller and Stockmeyer 1993)


def _numba() -> Any:
    """The compiler, or None: when it is absent, broken, or unwanted (NUMBA_DISABLE_JIT, numba's own switch)."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"} or importlib.util.find_spec("numba") is None:
        return None
    try:
        return importlib.import_module("numba")
    except ImportError:  # a numba that does not go with the installed NumPy says so on import
        return None


_NUMBA = _numba()
COMPILED = _NUMBA is not None


def compiled(kernel: _Kernel) -> _Kernel:
    """Compile a kernel on its first call; return it as it is when there is no compiler.

    Machine code is kept beside the source or in the user's cache folder, whichever can be written; where neither can
    (a read-only image without a home) every process compiles anew.
    """
    if _NUMBA is None:
        return kernel
    try:
        return _NUMBA.njit(cache=True)(kernel)  # type: ignore[no-any-return]
    except RuntimeError:  # numba's "no locator available": nowhere to write
        return _NUMBA.njit(kernel)  # type: ignore[no-any-return]


def floats(values: Iterable[float]) -> Floats:
    """Numbers in the shape that kernels take."""
    array: Any = np.array(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64).ravel()
    return array if COMPILED else array.tolist()  # type: ignore[no-any-return]


def ints(values: Iterable[int]) -> Ints:
    """Whole numbers in the shape that kernels take."""
    array: Any = np.array(values if isinstance(values, np.ndarray) else list(values), dtype=np.int64).ravel()
    return array if COMPILED else array.tolist()  # type: ignore[no-any-return]


def generator(seed: int) -> int:
    """A state of the kernels' generator for any seed; neighbouring seeds start far apart."""
    return (seed * 1_103_515_245 + 12_345) % (SEED_MODULUS - 1) + 1
