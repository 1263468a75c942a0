# SPDX-License-Identifier: AGPL-3.0-or-later
"""Frames in, located tracks out. Knows no vehicle link and no MQTT."""
