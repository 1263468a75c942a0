# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the service does with vehicles: patrols in progress."""
