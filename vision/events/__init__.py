# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happens, from where things are over time: rules over tracks. `EventWatch` is the way in."""

from vision.events.model import Area, Event, EventPhase, Fact, RuleName, TrackState, Visit
from vision.events.settings import EventRules
from vision.events.watch import EventWatch

__all__ = ["Area", "Event", "EventPhase", "EventRules", "EventWatch", "Fact", "RuleName", "TrackState", "Visit"]
