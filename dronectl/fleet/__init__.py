# SPDX-License-Identifier: AGPL-3.0-or-later
"""Vehicles: links, state, sorties."""
