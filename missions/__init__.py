# SPDX-License-Identifier: AGPL-3.0-or-later
"""Planning for drone patrol and search: pure code without I/O, clock or unseeded randomness."""
