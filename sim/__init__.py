# SPDX-License-Identifier: AGPL-3.0-or-later
"""The other side of the wire: simulated vehicles, cameras and PX4. Started as `python -m sim`, imported by nothing."""
