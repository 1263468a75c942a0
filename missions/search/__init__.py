# SPDX-License-Identifier: AGPL-3.0-or-later
"""Searching for a lost person: where they may be, how much effort goes where, and who flies which way."""
