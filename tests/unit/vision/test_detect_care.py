# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a careless command or a bad disk must not cost: the user's own files, pictures not yet looked at, a word about loss."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import typer
from typer.testing import CliRunner

from dronectl.cli.detect import detect
from dronectl.errors import BadInputError
from dronectl.operations import detect_run
from tests.vision_files import jpeg, person_picture
from vision.sources.decoding import decode

app = typer.Typer()
app.command()(detect)


def invoke(*arguments: str) -> tuple[int, str, str]:
    """(code, standard output, standard error with the line of an error)."""
    result = CliRunner().invoke(app, [*arguments, "--gsd-cm", "8"], standalone_mode=False)
    if isinstance(result.exception, BadInputError):
        return 2, result.stdout, f"{result.stderr}{result.exception}"
    assert result.exception is None, result.exception
    return result.return_value, result.stdout, result.stderr


def folder(path: Path, count: int) -> Path:
    path.mkdir()
    data = jpeg(person_picture())
    for i in range(count):
        (path / f"p{i}.jpg").write_bytes(data)
    return path


@pytest.mark.parametrize("option", ["--out", "--geojson", "--review"])
def test_no_result_overwrites_a_picture(tmp_path: Path, option: str) -> None:
    """As when a name is forgotten: `dronectl detect --out flight/*.jpg`."""
    first, second = sorted(folder(tmp_path / "in", 2).iterdir())
    before = first.read_bytes()
    code, _, said = invoke(option, str(first), str(second))
    assert code == 2
    assert f"{option} {first}" in said
    link = tmp_path / "l.json"
    link.symlink_to(first)
    code, _, said = invoke(str(first), str(second), option, str(link))
    assert code == 2
    assert "one of the files to be looked at" in said
    assert first.read_bytes() == before


def test_two_results_in_one_file_and_pictures_into_a_file_are_refused(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "in", 1)
    same = str(tmp_path / "o.json")
    assert "--out goes there, too" in invoke(str(pictures), "--out", same, "--geojson", same)[2]
    (tmp_path / "file").touch()
    code, out, said = invoke(str(pictures), "--annotate", str(tmp_path / "file" / "a"))
    assert (code, out) == (2, "")
    assert "is no folder" in said
    assert "SOURCE is empty" in invoke("")[2]


@pytest.mark.parametrize("to_file", [True, False])
def test_a_disk_taken_off_midway_costs_no_picture(
    tmp_path: Path, to_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = folder(tmp_path / "in", 6)
    kept = shutil.copytree(pictures, tmp_path / "kept", copy_function=shutil.copy2)
    whole, seen = detect_run.Examiner.file, []

    def file(self: detect_run.Examiner, path: Path) -> Iterator[dict[str, Any]]:
        yield from whole(self, path)
        seen.append(path)
        if len(seen) == 2:
            shutil.rmtree(pictures)

    monkeypatch.setattr(detect_run.Examiner, "file", file)
    more = ["--out", str(tmp_path / "o.jsonl")] if to_file else []
    code, out, said = invoke(str(pictures), *more)
    assert code == 1
    assert "p2.jpg and all 3 file(s) after it are no longer there" in said
    if not to_file:
        assert len(out.splitlines()) == 2
        return
    kept.rename(pictures)
    code, _, said = invoke(str(pictures), *more)
    assert code == 0
    assert "2 file(s) are done already, 4 left" in said
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [(line["type"], Path(line["source"]).name) for line in lines] == [("frame", f"p{i}.jpg") for i in range(6)]


def test_what_was_looked_at_is_told_where_a_result_cannot_be_written(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "in", 1)
    too_long = tmp_path / ("g" * 250)  # the name beside it, under which it is written first, does not fit
    code, _, said = invoke(str(pictures), "--geojson", str(too_long), "--json")
    assert code == 2
    summary = next(json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert summary["frames"] == 1
    assert said.splitlines()[-1].startswith(f"--geojson {too_long}")


def test_a_jpeg_damaged_within_is_looked_at_and_named(tmp_path: Path) -> None:
    data = jpeg(person_picture())
    start = data.index(b"\xff\xda") + len(data) // 3
    data = (
        data[:start] + data[start + 2000 :]
    )  # as of a card that lost a sector: there is an end, and too little before it
    pictures = folder(tmp_path / "in", 2)
    (pictures / "p0.jpg").write_bytes(data)
    code, out, said = invoke(str(pictures))
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("damaged") is not None for line in lines] == [True, False]
    assert f"{pictures / 'p0.jpg'}: damaged" in said
    assert "1 file(s) damaged" in said


def test_decoding_takes_no_line_of_others(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def imdecode(*_: object) -> None:
        os.write(2, b"libpng error: CRC\n")
        sys.stderr.write("a bar of progress\n")

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    assert decode(b"x") == (None, "libpng error: CRC")
    assert capfd.readouterr().err == "a bar of progress\n"


def test_files_of_a_kind_that_is_not_read_are_counted_and_links_to_nothing_named(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "in", 1)
    for name in ("a.HEIC", "b.heic", "c.webp", "notes.txt"):
        (pictures / name).touch()
    (pictures / "z.jpg").symlink_to(tmp_path / "nothing.jpg")
    code, out, said = invoke(str(pictures))
    assert code == 1
    assert "2 .heic, 1 .webp file(s) are of a kind that is not read" in said
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["frame", "error"]
    os.mkfifo(pictures / "pipe.jpg")  # to wait for what never comes would be to hang
    (pictures / "z.jpg").unlink()
    assert invoke(str(pictures))[0] == 0
    for path in pictures.glob("*.jpg"):
        path.unlink()
    assert "only 2 .heic, 1 .webp, which it does not read" in invoke(str(pictures))[2]
