# SPDX-License-Identifier: AGPL-3.0-or-later
"""Text from elsewhere, made safe to print."""

from __future__ import annotations


def clean(text: str) -> str:
    """Text without control characters: what comes over the network must not steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
