# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the commands say is looked for in English, also on a machine that speaks Chinese."""

import os

os.environ["DRONECTL_LANG"] = "en"
