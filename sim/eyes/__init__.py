# SPDX-License-Identifier: AGPL-3.0-or-later
"""Simulated cameras: a seeded world on the ground, rendered from true poses, served as frames over TCP."""
