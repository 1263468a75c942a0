# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tours and splits over points and lines."""
