# SPDX-License-Identifier: AGPL-3.0-or-later
"""Past cases to a heat map: density, warnings that stand a test, weights with their reasons, and scores."""
