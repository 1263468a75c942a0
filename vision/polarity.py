# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a thermal picture of 8 bits is black-hot: what is warm in it is dark. Pure.

The user may say so of all pictures of a run. Where nobody does, stills are judged by their people; videos and streams are
not. Grey levels alone do not tell: cold ground has dark things in it and bright ones. People do. The network looks at
the negative, too, and where it is far surer of somebody there, and what is dark in the picture also stands out further
than what is bright, it is taken for black-hot. One without people may be missed, and nobody with it.
Black-hot is a palette of grey levels: in false colours what is bright is warm, whatever is said of the grey ones. Degrees
and raw values rise with heat by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from missions.model import Polarity
from vision.bare import between_bars
from vision.detector import Detection
from vision.frame import Frame, PixelKind, PolarityFrom
from vision.sighting import Kind

_SURE: Final = 0.4  # of somebody in the negative, at least
_UNSEEN: Final = 0.03
_SURER: Final = 2.0  # by so much in logits
_FAR: Final = 0.75  # how far bright things stand out against dark ones: where they hardly do,
_SURER_FAR: Final = 1.0  # less says it
_SETTLED: Final = 0.6  # sure of somebody in the picture as it is, the network is not asked again


def is_stated_black(frame: Frame, stated: Polarity | None) -> bool:
    """Whether what the user states of a run's pictures makes this one black-hot."""
    return stated is Polarity.BLACK and frame.kind is PixelKind.GREY8 and not frame.false_colours


def turned_over(frame: Frame) -> Frame:
    """The negative of a black-hot frame of 8 bits as its file has it, in which what is warm is bright.

    Bars beside the picture are black whatever its palette, and stay so: white ones would be the warmest there is.
    """
    inside = between_bars(frame.pixels)
    negative = np.zeros_like(frame.pixels)
    np.subtract(255, frame.pixels[inside], out=negative[inside])
    return replace(frame, pixels=negative, file_pixels=frame.pixels)


def said_by(stated: Polarity | None, *, black_hot: bool) -> PolarityFrom:
    """What says so of a frame of 8 bits that was taken for black-hot, or was not."""
    if stated is not None and (stated is Polarity.BLACK) == black_hot:
        return PolarityFrom.STATED
    return PolarityFrom.PEOPLE if black_hot else PolarityFrom.ASSUMED


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
