# SPDX-License-Identifier: AGPL-3.0-or-later
"""Height models as rasters: the same ground in any reference system, datums, voids, gaps, refusals."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import yaml
from rasterio.transform import Affine, from_origin
from typer.testing import CliRunner

from dronectl.cli.main import app
from dronectl.errors import BadInputError
from dronectl.paths import default_site_file
from dronectl.site import load_site
from dronectl.terrain_io import grid_file, load_terrain
from dronectl.terrain_raster import RasterOptions, load_raster
from missions.geo import GeoPoint, destination
from missions.terrain import OutsideTerrainError, height_at

HERE = GeoPoint(-33.9, 151.2)
AROUND = [destination(HERE, bearing, 600.0) for bearing in (0.0, 90.0, 180.0, 270.0)]


def ground(latitude_deg, longitude_deg):
    """A slope: bilinear interpolation gives it back."""
    return 100.0 + 4000.0 * (np.asarray(latitude_deg) + 33.9) + 2500.0 * (np.asarray(longitude_deg) - 151.2)


def write(file, crs, step, *, size=240, edit=None, driver="GTiff", nodata=-9999.0, rotate=0.0, centre=HERE, **profile):
    """A raster of the slope around a place; step in the system's own units."""
    to_crs = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = to_crs.transform(centre.longitude_deg, centre.latitude_deg)
    transform = from_origin(x - step * size / 2, y + step * size / 2, step, step)
    if rotate:
        transform = transform @ Affine.translation(size / 2, size / 2) @ Affine.rotation(rotate)
        transform = transform @ Affine.translation(-size / 2, -size / 2)
    column, row = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    xs = transform.a * column + transform.b * row + transform.c
    ys = transform.d * column + transform.e * row + transform.f
    longitude, latitude = to_crs.transform(xs, ys, direction="INVERSE")
    heights = ground(latitude, longitude).astype(np.float32)
    if edit is not None:
        edit(heights)
    known = {"crs": None if driver == "AAIGrid" else crs, **profile}
    with rasterio.open(
        file,
        "w",
        driver=driver,
        width=size,
        height=size,
        count=1,
        dtype="float32",
        transform=transform,
        nodata=nodata,
        **known,
    ) as out:
        out.write(heights, 1)
    return file


@pytest.mark.parametrize(
    ("crs", "step", "rotate"),
    [("EPSG:4326", 0.0002, 0.0), ("EPSG:32756", 20.0, 0.0), ("EPSG:3857", 25.0, 0.0), ("EPSG:32756", 20.0, 30.0)],
)
def test_the_same_ground_in_any_reference_system(crs, step, rotate, tmp_path):
    terrain = load_raster(write(tmp_path / "dem.tif", crs, step, rotate=rotate), AROUND, RasterOptions("amsl"))
    rng = np.random.default_rng(3)
    for _ in range(50):
        point = destination(HERE, rng.uniform(0, 360), rng.uniform(0, 600))
        assert height_at(terrain, point) == pytest.approx(ground(point.latitude_deg, point.longitude_deg), abs=0.05)
    assert terrain.source.startswith("dem.tif, ")
    assert "as declared" in terrain.source


def test_a_site_across_the_antimeridian(tmp_path):
    middle = GeoPoint(-17.0, 179.9995)
    around = [destination(middle, b, 300.0) for b in (0.0, 90.0, 180.0, 270.0)]
    assert max(p.longitude_deg for p in around) - min(p.longitude_deg for p in around) > 300.0
    terrain = load_raster(write(tmp_path / "dem.tif", "EPSG:32760", 20.0, centre=middle), around, RasterOptions("amsl"))
    assert math.isfinite(height_at(terrain, around[1]))


def test_an_ascii_grid_needs_its_system_named(tmp_path):
    file = write(tmp_path / "dem.asc", "EPSG:32756", 20.0, driver="AAIGrid")
    for beside in tmp_path.glob("*.prj"):
        beside.unlink()
    with pytest.raises(BadInputError, match=r"dem\.asc: does not say its reference system"):
        load_raster(file, AROUND)
    terrain = load_raster(file, AROUND, RasterOptions("amsl", "EPSG:32756", 2.5))
    assert height_at(terrain, HERE) == pytest.approx(100.0, abs=0.05)
    assert terrain.vertical_error_m == 2.5


def test_an_undeclared_datum_is_taken_with_a_warning(tmp_path, caplog):
    terrain = load_raster(write(tmp_path / "dem.tif", "EPSG:32756", 20.0), AROUND)
    assert "does not say what its heights are measured from" in caplog.text
    assert "the file does not say" in terrain.source


def test_heights_above_the_ellipsoid_are_refused(tmp_path, caplog):
    file = write(tmp_path / "dem.tif", "EPSG:32756", 20.0)
    with pytest.raises(BadInputError, match="above the ellipsoid; convert them"):
        load_raster(file, AROUND, RasterOptions("ellipsoid"))
    named = RasterOptions(crs="EPSG:32756+5773")
    assert "EGM96" in load_raster(file, AROUND, named).source
    assert not caplog.text
    with pytest.raises(BadInputError, match="says itself that its heights are above amsl"):
        load_raster(file, AROUND, RasterOptions("ellipsoid", "EPSG:32756+5773"))
    with pytest.raises(BadInputError, match="above the ellipsoid"):
        load_raster(file, AROUND, RasterOptions(crs="EPSG:4979"))


def test_voids_are_named_and_never_become_heights(tmp_path, caplog):
    def dig(heights):
        heights[118:123, 130:136] = -9999.0

    terrain = load_raster(write(tmp_path / "dem.tif", "EPSG:32756", 20.0, edit=dig), AROUND, RasterOptions("amsl"))
    assert "has 1 voids at the site" in caplog.text
    hole = destination(HERE, 90.0, 250.0)
    with pytest.raises(OutsideTerrainError, match=r"a void at -33\.9"):
        height_at(terrain, hole)
    assert height_at(terrain, HERE) == pytest.approx(100.0, abs=0.05)
    with pytest.raises(BadInputError, match="only voids"):
        load_raster(
            write(tmp_path / "none.tif", "EPSG:32756", 20.0, edit=lambda h: h.fill(-9999.0)),
            AROUND,
            RasterOptions("amsl"),
        )


def test_a_raster_that_ends_inside_the_site_is_refused_with_the_place(tmp_path):
    short = write(tmp_path / "short.tif", "EPSG:32756", 20.0, size=40)
    with pytest.raises(BadInputError) as caught:
        load_raster(short, AROUND, RasterOptions("amsl"))
    said = str(caught.value)
    assert "does not cover the site: it holds latitudes" in said
    assert "of the site lies outside" in said
    assert "\n" not in said
    far = write(tmp_path / "far.tif", "EPSG:32756", 20.0, centre=GeoPoint(-33.0, 152.5))
    with pytest.raises(BadInputError, match="does not cover the site"):
        load_raster(far, AROUND, RasterOptions("amsl"))


def test_only_the_window_is_read(tmp_path, monkeypatch):
    file = write(tmp_path / "big.tif", "EPSG:32756", 20.0, size=1500)
    read = rasterio.io.DatasetReader.read
    sizes = []

    def counting(self, *args, **kwargs):
        data = read(self, *args, **kwargs)
        sizes.append(data.size)
        return data

    # DatasetReader is a C type: its subclass in Python is what rasterio hands out.
    monkeypatch.setattr(rasterio.io.DatasetReader, "read", counting, raising=False)
    load_raster(file, AROUND, RasterOptions("amsl"))
    assert sizes
    assert max(sizes) < 150 * 150


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("dem.tif", b"no raster at all", "cannot be read as a height model"), ("gone.tif", None, "no such file")],
)
def test_what_is_no_raster_gets_one_line(name, content, said, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInputError, match=said) as caught:
        load_raster(tmp_path / name, AROUND)
    assert "\n" not in str(caught.value)


def test_too_fine_a_model_says_how_to_resample(tmp_path):
    wide = [destination(HERE, b, 3000.0) for b in (0.0, 90.0, 180.0, 270.0)]
    file = write(tmp_path / "fine.tif", "EPSG:32756", 0.1, size=20)
    with pytest.raises(BadInputError, match="gdalwarp -tr"):
        load_raster(file, wide, RasterOptions("amsl"))


@pytest.fixture
def site_on_raster(tmp_path):
    """The demonstration site on a GeoTIFF of its own ground."""
    template = default_site_file()
    document = yaml.safe_load(template.read_text(encoding="utf-8"))
    old = load_terrain(template.parent / document["terrain"])
    rows, columns = old.heights_amsl_m.shape
    east, north = old.west_m + old.resolution_m * np.arange(columns), old.south_m + old.resolution_m * np.arange(rows)
    origin = old.frame.origin
    system = f"+proj=aeqd +lat_0={origin.latitude_deg} +lon_0={origin.longitude_deg} +datum=WGS84 +units=m"
    step = old.resolution_m
    with rasterio.open(
        tmp_path / "dem.tif",
        "w",
        driver="GTiff",
        width=columns,
        height=rows,
        count=1,
        dtype="float32",
        crs=system,
        transform=from_origin(east[0] - step / 2, north[-1] + step / 2, step, step),
    ) as out:
        out.write(old.heights_amsl_m[::-1], 1)
    document["terrain"] = {"file": "dem.tif", "datum": "amsl", "vertical_error_m": old.vertical_error_m}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return tmp_path / "site.yaml", old


def test_a_site_on_a_geotiff_stands_on_the_same_ground(site_on_raster, tmp_path):
    file, old = site_on_raster
    site = load_site(file)
    for dock in site.docks:
        assert height_at(site.terrain, dock.position) == pytest.approx(height_at(old, dock.position), abs=0.5)
    copy = grid_file(site.terrain_path, site.terrain, tmp_path)
    assert copy.suffix == ".npz"
    assert height_at(load_terrain(copy), site.docks[0].position) == height_at(site.terrain, site.docks[0].position)


def test_plan_cover_and_check_take_another_height_model(site_on_raster, tmp_path):
    ring = [[107.268, 29.739], [107.2705, 29.739], [107.2705, 29.741], [107.268, 29.741], [107.268, 29.739]]
    (tmp_path / "field.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    shutil.copy(tmp_path / "dem.tif", tmp_path / "other.tif")
    runner, dem = CliRunner(), str(tmp_path / "other.tif")
    out = str(tmp_path / "out")
    planned = runner.invoke(
        app, ["plan", "cover", str(tmp_path / "field.geojson"), "--drones", "d1", "--dem", dem, "--out", out]
    )
    assert planned.exit_code == 0, planned.output
    checked = runner.invoke(app, ["check", f"{out}/d1-1.plan", "--dem", dem])
    assert checked.exit_code == 0, checked.output
    small = write(tmp_path / "small.tif", "EPSG:32648", 20.0, size=10, centre=GeoPoint(29.74, 107.27))
    refused = runner.invoke(app, ["check", f"{out}/d1-1.plan", "--dem", str(small)])
    assert isinstance(refused.exception, BadInputError)
    assert "does not cover the site" in str(refused.exception)


REAL = Path(os.environ.get("DRONECTL_DATA", "/nowhere"), "planning", "dem", "srtm_bigtujunga30m_utm11.tif")


@pytest.mark.skipif(not REAL.exists(), reason="set DRONECTL_DATA to the folder of real data")
def test_real_elevations_of_the_mountains(caplog):
    """SRTM of Big Tujunga against GDAL's own reading of single cells."""
    with rasterio.open(REAL) as raster:
        back = pyproj.Transformer.from_crs(raster.crs, "EPSG:4326", always_xy=True)
        x, y = raster.xy(300, 600)
        longitude, latitude = back.transform(x, y)
        middle = GeoPoint(latitude, longitude)
        expected = [v[0] for v in raster.sample([(x, y), (x + 300.0, y - 600.0)])]
        other = back.transform(x + 300.0, y - 600.0)
    terrain = load_raster(REAL, [destination(middle, b, 1500.0) for b in (0.0, 90.0, 180.0, 270.0)])
    assert terrain.resolution_m == pytest.approx(30.0, rel=0.01)
    assert "does not say" in caplog.text
    assert height_at(terrain, middle) == pytest.approx(expected[0], abs=1.0)
    assert height_at(terrain, GeoPoint(other[1], other[0])) == pytest.approx(expected[1], abs=25.0)
    assert 315.0 <= np.nanmin(terrain.heights_amsl_m) <= np.nanmax(terrain.heights_amsl_m) <= 2295.0
