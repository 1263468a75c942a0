# SPDX-License-Identifier: AGPL-3.0-or-later
"""When the flights of a set start, in words."""

from __future__ import annotations


def start_text(start_after_s: float) -> str:
    """When a flight of a set starts, as people say it: minutes and seconds after the first."""
    minutes, tenths = divmod(round(start_after_s * 10.0), 600)
    return f"+{minutes}:{tenths / 10.0:04.1f}"


def starts_text(slack_s: float | None) -> str | None:
    """How exactly the starts have to be kept; None for a flight that is alone."""
    if slack_s is None:
        return None
    return f"Started as the table says they keep apart, while none runs more than {slack_s:.0f} s early or late against another."
