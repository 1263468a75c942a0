# SPDX-License-Identifier: AGPL-3.0-or-later
"""Conflicts between flight plans in space and time, and their resolution."""
