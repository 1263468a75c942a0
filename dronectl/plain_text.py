# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small texts for readers: what comes from elsewhere made safe to print, and how long something takes."""

from __future__ import annotations


def clean(text: str) -> str:
    """Text without control characters: what comes over the network must not steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def minutes(seconds: float) -> str:
    """How long something takes, to the second: 6:05 min."""
    whole, rest = divmod(round(seconds), 60)
    return f"{whole}:{rest:02d} min"
