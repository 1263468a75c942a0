# SPDX-License-Identifier: AGPL-3.0-or-later
"""Errors that the command line turns into one clear line and an exit code."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in what the user gave (exit code 2)."""

    exit_code = 2


class MissingExtraError(UserError):
    """An optional package is not installed (exit code 3)."""

    exit_code = 3
