# SPDX-License-Identifier: AGPL-3.0-or-later
"""From sightings to incidents, alerts and a durable outbox."""
