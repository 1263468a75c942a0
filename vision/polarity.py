# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a thermal still of 8 bits is black-hot: what is warm in it is dark. Pure.

Grey levels alone do not tell: cold ground has dark things in it and bright ones. People do. The network looks at the
negative, too, and where it is far surer of somebody there, and what is dark in the picture also stands out further
than what is bright, it is taken for black-hot. One without people may be missed, and nobody with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from vision.detector import Detection
from vision.sighting import Kind

_SURE: Final = 0.4  # of somebody in the negative, at least
_UNSEEN: Final = 0.03
_SURER: Final = 2.0  # by so much in logits
_FAR: Final = 0.75  # how far bright things stand out against dark ones: where they hardly do,
_SURER_FAR: Final = 1.0  # less says it
_SETTLED: Final = 0.6  # sure of somebody in the picture as it is, the network is not asked again


def may_be_black_hot(found: Sequence[Detection]) -> bool:
    """Whether what was found in the picture as it is leaves that open."""
    return _surest(found) < _SETTLED


def is_black_hot(found: Sequence[Detection], negative: Sequence[Detection], bright: float, dark: float) -> bool:
    """Whether a picture is, by what the network has found in it and in its negative.

    bright, dark: how far the brightest and the darkest things stand out of their surroundings, in robust sigmas.
    """
    surest = _surest(negative)
    if surest < _SURE or bright >= dark:
        return False
    surer = _logit(surest) - _logit(_surest(found))
    return surer > (_SURER_FAR if bright < _FAR * dark else _SURER)


def _surest(found: Sequence[Detection]) -> float:
    return max((d.confidence for d in found if d.kind is Kind.PERSON), default=_UNSEEN)


def _logit(score: float) -> float:
    score = min(max(score, _UNSEEN), 1.0 - _UNSEEN)
    return math.log(score / (1.0 - score))
