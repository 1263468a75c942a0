# SPDX-License-Identifier: AGPL-3.0-or-later
"""The heavy extra: fine-tuning on a user's own set, export, and the same answers from every engine."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.yolo, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def own_set(tmp_path_factory) -> Path:
    """Pictures of warm blobs with YOLO labels, as a user would bring them."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(5)
    for split, count in (("train", 10), ("val", 4)):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for i in range(count):
            picture = rng.normal(90, 8, (128, 160)).clip(0, 255).astype(np.uint8)
            x, y = int(rng.uniform(20, 140)), int(rng.uniform(20, 108))
            cv2.ellipse(picture, (x, y), (9, 5), float(rng.uniform(0, 180)), 0, 360, 235, -1)
            cv2.imwrite(str(folder / "images" / split / f"p{i}.png"), picture)
            (folder / "labels" / split / f"p{i}.txt").write_text(f"0 {x / 160:.5f} {y / 128:.5f} 0.12 0.12\n")
    return folder


@pytest.fixture(scope="module")
def trained(own_set, tmp_path_factory) -> Path:
    """One epoch from a network with random weights: everything is exercised, nothing is learned."""
    import ultralytics

    folder = tmp_path_factory.mktemp("trained")
    start = folder / "start.pt"
    ultralytics.YOLO("yolo11n.yaml", task="detect").save(str(start))
    done = subprocess.run(
        [
            sys.executable, "-m", "vision.train", "yolo", str(own_set), "--names", "person", "--gsd", "4-9",
            "--weights", str(start), "--work", str(folder / "work"), "--model", str(folder / "own.onnx"),
            "--card", str(folder / "own.md"), "--epochs", "1", "--width", "160", "--height", "128", "--batch", "4",
        ],
        capture_output=True, text=True, timeout=800, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return folder


def test_fine_tuning_writes_model_sidecar_and_card(trained):
    sidecar = json.loads((trained / "own.json").read_text())
    assert sidecar["sha256"]
    assert "person" in json.dumps(sidecar["classes"])
    assert sidecar["sha256"] in (trained / "own.md").read_text()


def test_checkpoint_and_export_give_the_same_answers(trained):
    from vision.engines.choose import load_engine

    checkpoint = sorted((trained / "work").rglob("*.pt"))
    assert checkpoint
    exported = load_engine(trained / "own.onnx", "onnxruntime")
    height, width = exported.input_size
    assert (height, width) == (128, 160)
    batch = np.random.default_rng(1).random((1, 3, height, width), dtype=np.float32)
    wanted = exported.run(batch)
    answers = [load_engine(path, "ultralytics").run(batch) for path in checkpoint]
    assert any(a.shape == wanted.shape and np.allclose(a, wanted, atol=2e-2, rtol=1e-2) for a in answers)


def test_without_data_it_says_so_in_one_line(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "vision.train", "yolo", str(tmp_path / "none"), "--names", "person", "--work",
            str(tmp_path / "w"), "--model", str(tmp_path / "m.onnx"), "--card", str(tmp_path / "c.md"),
        ],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error:")
