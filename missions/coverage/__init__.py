# SPDX-License-Identifier: AGPL-3.0-or-later
"""Covering areas: an area and a camera come in; swaths, their order, a path, and flights by battery go out."""
