# SPDX-License-Identifier: AGPL-3.0-or-later
"""A site looks at colour cameras with a model only where its file names one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dronectl.errors import BadInputError
from dronectl.paths import config_dir
from dronectl.site import load_site
from vision.model_card import COLOUR_MODEL

LIDU = config_dir() / "lidu" / "site.yaml"


def _site_file(folder: Path, line: str) -> Path:
    shutil.copy(LIDU.parent / "terrain.npz", folder)
    file = folder / "site.yaml"
    file.write_text(
        LIDU.read_text(encoding="utf-8").replace("site_id: lidu\n", f"site_id: lidu\n{line}", 1), encoding="utf-8"
    )
    return file


def test_no_model_unless_named() -> None:
    assert load_site(LIDU).colour_model is None


def test_the_shipped_one_by_name_and_an_own_one_beside_the_file(tmp_path: Path) -> None:
    assert load_site(_site_file(tmp_path, "colour_model: shipped\n")).colour_model == COLOUR_MODEL
    (tmp_path / "own.onnx").write_bytes(b"")
    assert load_site(_site_file(tmp_path, "colour_model: own.onnx\n")).colour_model == (tmp_path / "own.onnx").resolve()


def test_a_file_that_is_not_there_is_bad_input_with_its_line(tmp_path: Path) -> None:
    file = _site_file(tmp_path, "colour_model: nowhere.onnx\n")
    line = file.read_text(encoding="utf-8").splitlines().index("colour_model: nowhere.onnx") + 1
    with pytest.raises(BadInputError) as caught:
        load_site(file)
    assert (
        str(caught.value)
        == f"{file}:{line}: colour_model: no file 'nowhere.onnx'; `shipped` is the one that comes along"
    )
