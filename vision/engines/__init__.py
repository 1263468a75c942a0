# SPDX-License-Identifier: AGPL-3.0-or-later
"""Inference engines behind one protocol."""
