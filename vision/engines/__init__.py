# SPDX-License-Identifier: AGPL-3.0-or-later
"""Inference engines behind one small protocol; `load_engine` is the way in."""

from vision.engines.base import Engine, Tensor
from vision.engines.choose import ENGINE_NAMES, choose_engine, installed_engines, load_engine

__all__ = ["ENGINE_NAMES", "Engine", "Tensor", "choose_engine", "installed_engines", "load_engine"]
