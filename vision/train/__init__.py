# SPDX-License-Identifier: AGPL-3.0-or-later
"""Data preparation, fine-tuning, export and evaluation of detectors; ``python -m vision.train --help``."""
