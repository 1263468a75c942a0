# SPDX-License-Identifier: AGPL-3.0-or-later
"""What doors and commands ask for: planning at a site, checks, `detect`, evidence, the desk of the HTTP door."""
