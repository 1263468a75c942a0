# SPDX-License-Identifier: AGPL-3.0-or-later
"""The heavy extra: fine-tuning on a user's own set, export, and the same answers from every engine."""

import json
import shutil
import subprocess
import sys
import time
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
        capture_output=True, encoding="utf-8", timeout=800, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return folder


def test_fine_tuning_writes_model_sidecar_and_card(trained):
    sidecar = json.loads((trained / "own.json").read_text(encoding="utf-8"))
    assert sidecar["sha256"]
    assert "person" in json.dumps(sidecar["classes"])
    assert sidecar["sha256"] in (trained / "own.md").read_text(encoding="utf-8")


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


def test_sahi_finds_what_we_find_on_the_same_file_and_is_measured_in_the_same_stages(tmp_path):
    pytest.importorskip("sahi", reason="an environment of the extra from before SAHI belonged to it")
    from vision.model_card import DEFAULT_MODEL

    costs = {}
    for engine in ("sahi", "onnxruntime"):
        done = subprocess.run(
            [sys.executable, "-m", "vision.bench", "--model", str(DEFAULT_MODEL), "--engine", engine, "--frames", "4"],
            capture_output=True, encoding="utf-8", timeout=300, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        costs[engine] = json.loads(done.stdout)
    peer, ours = costs["sahi"], costs["onnxruntime"]
    assert peer["engine"].startswith("SAHI ")
    assert peer["found"] == pytest.approx(ours["found"], abs=0.5)  # the same weights at the same confidence
    assert peer["found"] > 1
    assert peer["tiles"] == ours["tiles"] == 1
    assert set(peer["p50_ms"]) | {"hot_spots"} == set(ours["p50_ms"])


def _train(folder: Path, own_set: Path, *more: str, timeout: float = 800) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable, "-m", "vision.train", "yolo", str(own_set), "--names", "person", "--work",
            str(folder / "work"), "--model", str(folder / "next.onnx"), "--card", str(folder / "next.md"), "--width",
            "160", "--height", "128", "--batch", "4", "--steps", "prepare,train,ship", *more,
        ],
        capture_output=True, encoding="utf-8", timeout=timeout, check=False, cwd=ROOT,
    )  # fmt: skip


def test_a_shipped_model_is_learned_on_from(trained, own_set, tmp_path):
    """From the ONNX file alone: the network that training begins with gives its answers, and figures say before and after."""
    import torch
    import ultralytics

    from vision.engines.choose import load_engine
    from vision.train.train_config import TrainConfig
    from vision.train.warm_start import checkpoint

    config = TrainConfig(epochs=1, width=160, height=128)
    start = checkpoint(trained / "own.onnx", ["person"], trained / "work" / "data", tmp_path / "start.pt", config)
    batch = np.random.default_rng(2).random((1, 3, 128, 160), dtype=np.float32)
    wanted = load_engine(trained / "own.onnx", "onnxruntime").run(batch)
    with torch.no_grad():
        got = ultralytics.YOLO(str(start)).model.float().eval()(torch.from_numpy(batch))[0].numpy()
    assert np.abs(got - wanted).max() < 1e-2 * np.abs(wanted).max()
    norms = [m for m in ultralytics.YOLO(str(start)).model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all(float(m.running_var.min()) > 0 for m in norms)
    assert any(
        abs(float(m.running_var.mean()) - 1.0) > 0.05 for m in norms
    )  # not the identity that would be lost at once

    done = _train(tmp_path, own_set, "--weights", str(trained / "own.onnx"), "--epochs", "1", "--int8-loss", "1.0")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    sidecar = json.loads((tmp_path / "next.json").read_text(encoding="utf-8"))
    assert sidecar["figures"]["before"]["name"] == "own.onnx"
    assert sidecar["figures"]["before"]["val"]["classes"]["person"]["objects"] == 4
    assert sidecar["int8"]["kept"] is True
    small = json.loads((tmp_path / "next-int8.json").read_text(encoding="utf-8"))
    assert small["precision"].startswith("int8")
    assert (
        small["figures"]["val"]["classes"]["person"]["ap50"] == sidecar["int8"]["ap50"]
    )  # its own, not the whole one's
    assert "before" not in small["figures"]
    assert "figures" not in sidecar["int8"]
    assert small["bytes"] < 0.5 * sidecar["bytes"]
    assert load_engine(tmp_path / "next-int8.onnx", "onnxruntime").run(batch).shape == wanted.shape


def test_a_quantised_model_that_nothing_speaks_for_is_not_kept(trained, own_set, tmp_path):
    """Pictures without a person tell nothing of how well it finds people."""
    from vision.train import quantise
    from vision.train.dataset import list_samples
    from vision.train.job import Job
    from vision.train.train_config import TrainConfig

    empty = tmp_path / "empty"
    shutil.copytree(own_set, empty)
    shutil.rmtree(empty / "labels")
    model = tmp_path / "m.onnx"
    shutil.copyfile(trained / "own.onnx", model)
    (tmp_path / "m-int8.json").write_text("{}")  # of an earlier run
    job = Job("yolo", empty, tmp_path, model, tmp_path / "m.md", TrainConfig(epochs=1), int8_loss=0.05)
    samples, said = list_samples(empty, "val"), []
    found = quantise.attempt(model, samples, samples, ["person"], job, said.append, 0.25)
    assert found["kept"] is False
    assert "no person" in found["why"]
    assert not list(tmp_path.glob("m-int8*"))


def test_classes_of_a_checkpoint_that_are_wanted_stay_known(tmp_path):
    import torch
    import ultralytics

    from vision.train.train_config import TrainConfig
    from vision.train.warm_start import checkpoint

    yolo = ultralytics.YOLO("yolo11n.yaml", task="detect")  # random weights, the eighty classes of COCO
    yolo.save(str(tmp_path / "many.pt"))
    wanted = [yolo.names[7], yolo.names[0]]
    start = checkpoint(tmp_path / "many.pt", wanted, tmp_path, tmp_path / "few.pt", TrainConfig(epochs=1))
    picture = torch.rand(1, 3, 128, 160)
    with torch.no_grad():
        many = ultralytics.YOLO(str(tmp_path / "many.pt")).model.float().eval()(picture)[0]
        few = ultralytics.YOLO(str(start)).model.float().eval()(picture)[0]
    assert torch.allclose(many[:, [0, 1, 2, 3, 4 + 7, 4 + 0]], few, atol=1e-5)


def test_classes_of_the_model_that_ships_that_are_wanted_stay_known(trained, tmp_path):
    """The default of `dronectl vision train`: people alone, from the model of people and vehicles."""
    import torch
    import ultralytics

    from vision.engines.choose import load_engine
    from vision.train.train_config import TrainConfig
    from vision.train.warm_start import checkpoint

    shipped = ROOT / "vision" / "models" / "thermal_person.onnx"
    names = ["deer", "car", "person"]
    config = TrainConfig(epochs=1, width=640, height=512)
    start = checkpoint(shipped, names, trained / "work" / "data", tmp_path / "start.pt", config)
    batch = np.random.default_rng(3).random((1, 3, 512, 640), dtype=np.float32)
    wanted = load_engine(shipped, "onnxruntime").run(batch)
    with torch.no_grad():
        got = ultralytics.YOLO(str(start)).model.float().eval()(torch.from_numpy(batch))[0].numpy()
    assert got.shape == (1, 4 + len(names), wanted.shape[2])
    assert np.abs(got[:, :4] - wanted[:, :4]).max() < 1e-2 * np.abs(wanted[:, :4]).max()
    assert np.abs(got[:, [5, 6]] - wanted[:, [5, 4]]).max() < 1e-2
    assert got[:, 4].max() < 0.1  # nothing is known of deer, and nothing is claimed


def test_a_stopped_run_goes_on(trained, own_set, tmp_path):
    arguments = ("--weights", str(trained / "start.pt"), "--epochs", "3", "--steps", "prepare,train")
    first = subprocess.Popen(
        [
            sys.executable, "-m", "vision.train", "yolo", str(own_set), "--names", "person", "--work",
            str(tmp_path / "work"), "--model", str(tmp_path / "m.onnx"), "--card", str(tmp_path / "m.md"), "--width",
            "160", "--height", "128", "--batch", "4", *arguments,
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    state = tmp_path / "work" / "train" / "state.json"
    for _ in range(3000):
        if state.is_file() or first.poll() is not None:
            break
        time.sleep(0.1)
    first.kill()
    first.wait()
    before = json.loads(state.read_text(encoding="utf-8"))
    second = _train(tmp_path, own_set, *arguments)
    assert second.returncode == 0, second.stdout[-2000:] + second.stderr[-3000:]
    record = json.loads((tmp_path / "work" / "train" / "train.json").read_text(encoding="utf-8"))
    if before["epochs"] < 3:
        assert f"going on after {int(before['epochs'])} epoch(s)" in second.stdout
    assert record["steps"] == 3 * 3  # ten pictures in fours, three rounds, none twice
    assert not (tmp_path / "m.onnx").exists()


def test_a_bad_label_is_named_before_any_work(own_set, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(own_set, bad)
    label = min((bad / "labels" / "train").iterdir())
    label.write_text("0 0.5 0.5 0.1 0.1\n0 0.5 1.4 0.1 0.1\n")
    done = _train(tmp_path, bad, "--weights", str(ROOT / "vision" / "models" / "thermal_person.onnx"), "--epochs", "1")
    assert done.returncode == 2
    assert f"{label.name}:2:" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_data_it_says_so_in_one_line(tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "vision.train", "yolo", str(tmp_path / "none"), "--names", "person", "--work",
            str(tmp_path / "w"), "--model", str(tmp_path / "m.onnx"), "--card", str(tmp_path / "c.md"),
        ],
        capture_output=True, encoding="utf-8", timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error:")


def test_an_average_lies_between_both_networks_and_is_none_of_two_that_differ(tmp_path):
    import torch
    import ultralytics

    from vision.train.average import average
    from vision.train.errors import UserError

    files = []
    for number in range(2):
        torch.manual_seed(number)
        files.append(tmp_path / f"{number}.pt")
        ultralytics.YOLO("yolo11n.yaml", task="detect").save(str(files[-1]))
    mixed = average(files[0], files[1], 0.2, tmp_path / "mixed.pt")
    first, second, between = (ultralytics.YOLO(str(f)).model.float().state_dict() for f in (*files, mixed))
    name = "model.0.conv.weight"
    torch.testing.assert_close(between[name], 0.8 * first[name] + 0.2 * second[name], atol=1e-3, rtol=1e-3)
    assert not torch.equal(first[name], second[name])
    other = tmp_path / "other.pt"
    ultralytics.YOLO("yolo11s.yaml", task="detect").save(str(other))
    with pytest.raises(UserError, match="not of one network"):
        average(files[0], other, 0.2, tmp_path / "none.pt")


def test_exported_networks_are_averaged_in_place(tmp_path):
    import numpy as np
    import onnx

    from vision.model_card import COLOUR_MODEL, DEFAULT_MODEL
    from vision.train.average import blend
    from vision.train.errors import UserError

    def weights(file):
        return {v.name: onnx.numpy_helper.to_array(v) for v in onnx.load(str(file)).graph.initializer}

    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    shutil.copyfile(DEFAULT_MODEL, first)
    changed = onnx.load(str(DEFAULT_MODEL))
    for value in changed.graph.initializer:
        array = onnx.numpy_helper.to_array(value)
        if array.dtype == np.float32:
            value.CopyFrom(onnx.numpy_helper.from_array(array + np.float32(1.0), value.name))
    onnx.save(changed, str(second))
    blend(first, second, 0.25)
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    for name, value in before.items():
        if value.dtype == np.float32:
            np.testing.assert_allclose(after[name], value + 0.25, atol=1e-5)
        else:
            np.testing.assert_array_equal(after[name], value)
    with pytest.raises(UserError, match="not of one network"):
        blend(COLOUR_MODEL, second, 0.5)


def test_processes_that_make_pictures_hear_that_the_training_is_near_its_end(own_set):
    """Pictures after the word has been given are made the calmer way, though other processes make them."""
    import torch

    from vision.train.augment import AugmentConfig
    from vision.train.train_config import TrainConfig
    from vision.train.trainer import TrainSet

    # without a turn, scale, move or noise a picture stays as it is; rendered ones are another size of grey
    still = AugmentConfig(
        p_wild=1.0, p_scale=0, degrees=0, translate=0, p_gain=0, p_gamma=0, p_blur=0, p_noise=0, p_stretch=0
    )
    config = TrainConfig(epochs=1, width=160, height=128, workers=2, augment=still)
    made = TrainSet(own_set, 1, config)
    loader = torch.utils.data.DataLoader(
        made, batch_size=1, num_workers=2, prefetch_factor=1, persistent_workers=True, collate_fn=made.collate_fn
    )

    def real() -> float:
        """Share of pictures that are of the set and no rendered ones."""
        own = [np.asarray(batch["img"])[0, 0] for batch in loader]
        known = list(made._cache.values())
        flips = (np.s_[:], np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1])
        close = [any(np.abs(o[f].astype(int) - k).mean() < 4 for k in known for f in flips) for o in own]
        return float(np.mean(close))

    assert real() == 0.0
    made.calm.fill_(1)
    assert np.mean([real() for _ in range(4)]) > 0.1  # three in ten, of forty
