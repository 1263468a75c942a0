# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ground heights to a small shaded relief picture (PNG) for the background of maps."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from missions.geo import FloatArray, LocalFrame
from missions.terrain import GridTerrain

_SUN_AZIMUTH_DEG, _SUN_ELEVATION_DEG = 315.0, 45.0
_EXAGGERATION = 3.0
# Colours from low to high ground: water meadow, field, dry slope, rock.
_TINTS = np.array([[205, 222, 214], [222, 230, 205], [237, 232, 212], [228, 217, 200]], dtype=np.float64)


def relief_png_url(
    terrain: GridTerrain, frame: LocalFrame, box_m: tuple[float, float, float, float], step_m: float
) -> str:
    """Return a data URL of the relief of box_m = (west, south, east, north) in `frame`, north up.

    Places beyond the terrain take the height of its edge: they are background, nothing is measured on them.
    """
    west, south, east, north = box_m
    columns = max(2, int((east - west) / step_m) + 1)
    rows = max(2, int((north - south) / step_m) + 1)
    x, y = np.meshgrid(np.linspace(west, east, columns), np.linspace(north, south, rows))
    geo = frame.to_geo_array(np.stack([x.ravel(), y.ravel()], axis=1))
    own = terrain.frame.to_enu_array(geo[:, 0], geo[:, 1])
    height, width = terrain.heights_amsl_m.shape
    own[:, 0] = np.clip(own[:, 0], terrain.west_m, terrain.west_m + (width - 1) * terrain.resolution_m)
    own[:, 1] = np.clip(own[:, 1], terrain.south_m, terrain.south_m + (height - 1) * terrain.resolution_m)
    heights = terrain.height_at_enu(own[:, 0], own[:, 1]).reshape(rows, columns)
    return "data:image/png;base64," + base64.b64encode(png_bytes(_shade(heights, step_m))).decode("ascii")


def _shade(heights: FloatArray, step_m: float) -> NDArray[np.uint8]:
    """Tint by height, light from the north-west (Horn 1981's cosine shading). Returns (rows, columns, 3)."""
    d_south, d_east = np.gradient(heights * _EXAGGERATION, step_m)
    azimuth, elevation = np.radians(_SUN_AZIMUTH_DEG), np.radians(_SUN_ELEVATION_DEG)
    light = np.array([np.sin(azimuth), np.cos(azimuth)]) * np.cos(elevation)
    # The surface normal is (-dh/deast, -dh/dnorth, 1); rows run south.
    cosine = (-d_east * light[0] + d_south * light[1] + np.sin(elevation)) / np.sqrt(1.0 + d_east**2 + d_south**2)
    span = max(float(np.ptp(heights)), 1e-6)
    position = (heights - heights.min()) / span * (len(_TINTS) - 1)
    tint = np.stack([np.interp(position, np.arange(len(_TINTS)), _TINTS[:, c]) for c in range(3)], axis=-1)
    factor = 1.0 + 0.55 * (cosine - np.sin(elevation))
    return np.asarray(np.clip(tint * factor[..., None], 0, 255), dtype=np.uint8)


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """An 8-bit RGB picture of shape (rows, columns, 3) as PNG (ISO/IEC 15948), every row filtered with Sub."""
    rows, columns, _ = image.shape
    delta = image.copy()
    delta[:, 1:] -= image[:, :-1]  # modulo 256, as the filter wants
    raw = np.concatenate([np.full((rows, 1), 1, np.uint8), delta.reshape(rows, -1)], axis=1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
