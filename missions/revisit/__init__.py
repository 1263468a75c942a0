# SPDX-License-Identifier: AGPL-3.0-or-later
"""Revisiting places for ever: circuits for several drones, the worst idleness, and what nobody can beat."""
