# SPDX-License-Identifier: AGPL-3.0-or-later
"""The demonstration: a whole site on one machine, flown, watched and scored. Everything it starts, it ends."""
