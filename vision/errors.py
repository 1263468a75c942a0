# SPDX-License-Identifier: AGPL-3.0-or-later
"""Failures a user can mend: each message is one line that says what, where and how."""


class VisionError(Exception):
    """Base of the errors below."""


class ModelError(VisionError):
    """A model file that is missing, damaged, or not what its sidecar says."""


class EngineChoiceError(VisionError):
    """An engine that was asked for by a name that is none, or for a model that it does not read."""


class EngineMissingError(VisionError):
    """No inference engine, or not the one asked for, is installed."""


class EngineUnusableError(EngineMissingError):
    """An engine that is installed does not come up on this machine; another may."""


class PictureError(VisionError):
    """A picture or video that cannot be read."""


class EvidenceError(VisionError):
    """A picture that could not be written."""
