# SPDX-License-Identifier: AGPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.decode import decode
from vision.engines import choose, choose_engine, installed_engines, load_engine, openvino_engine, tensorrt_parts
from vision.engines.cache import cache_folder, prune
from vision.engines.onnx_header import input_shape
from vision.errors import EngineChoiceError, EngineMissingError, EngineUnusableError, ModelError
from vision.frame import Frame, PixelKind
from vision.model_card import DEFAULT_MODEL, ModelCard, read_card
from vision.prepare import Fit, fit_into, fit_picture, to_grey, to_tensor
from vision.yolo import YoloDetector, load_yolo

ONNX_ENGINES = ("openvino", "onnxruntime", "opencv")
# raw outputs of the engines differ by rounding; a box by less than this, a score by less than that
BOX_TOLERANCE_PX = 0.25
SCORE_TOLERANCE = 0.02


def scene(seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.normal(120, 30, (16, 20)).astype(np.float32), (640, 512), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        centre = (int(rng.integers(20, 620)), int(rng.integers(20, 490)))
        cv2.ellipse(picture, centre, (3, 9), float(rng.integers(0, 180)), 0, 360, 250, -1)
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def test_engines_give_equal_outputs() -> None:
    tensor, _ = to_tensor(scene(), load_engine(DEFAULT_MODEL, "onnxruntime").input_size)
    outputs, names = {}, {}
    cards = ("tensorrt",) if tensorrt_parts.missing() is None else ()
    for name in ONNX_ENGINES + cards:
        engine = load_engine(DEFAULT_MODEL, name)
        assert name.split("_")[0] in engine.name
        outputs[name], names[name] = engine.run(tensor), engine.name
        assert np.array_equal(outputs[name], engine.run(tensor))
        assert not np.array_equal(outputs[name], engine.run(np.zeros_like(tensor)))
    reference = outputs["onnxruntime"]
    boxes = decode(reference, Fit(1, 0, 0), (512, 640), 0.02)
    for name, output in outputs.items():
        bf16 = "bf16" in names[name] or name == "tensorrt"  # cards compute f32 with the precision of TF32
        assert np.abs(output[:, 4:] - reference[:, 4:]).max() < (10 if bf16 else 1) * SCORE_TOLERANCE, name
        same = decode(output, Fit(1, 0, 0), (512, 640), 0.02)
        if not bf16:
            assert len(same) == len(boxes)
            assert np.abs(same.corners_px - boxes.corners_px).max(initial=0) < BOX_TOLERANCE_PX


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_pictures_at_once_give_what_they_give_alone(name: str) -> None:
    engine = load_engine(DEFAULT_MODEL, name)
    pictures = [fit_picture(scene(seed), engine.input_size)[0] for seed in range(8)]
    alone = [engine.run_picture(picture) for picture in pictures]
    with ThreadPoolExecutor(engine.at_once) as threads:
        together = list(threads.map(engine.run_picture, pictures * 2))
    for one, other in zip(alone * 2, together, strict=True):
        assert np.abs(one[:, 4:] - other[:, 4:]).max() <= SCORE_TOLERANCE
        assert np.abs(one[:, :4] - other[:, :4]).max() <= BOX_TOLERANCE_PX
    assert engine.at_once == (2 if name == "openvino" else 1)


def test_a_picture_is_alone_until_another_comes_and_again_after_a_while() -> None:
    now = [0.0]
    crowd = openvino_engine._Crowd(lambda: now[0])
    with crowd.entered() as first:
        pass
    with crowd.entered() as second:
        now[0] = 1.0
        with crowd.entered() as third:
            pass
    now[0] += openvino_engine._CROWDED_S / 2
    with crowd.entered() as just_after:
        now[0] += openvino_engine._CROWDED_S / 2
    with crowd.entered() as later:
        pass
    assert (first, second, third, just_after, later) == (True, True, False, False, True)


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_pictures_give_what_their_tensors_give(name: str) -> None:
    engine = load_engine(DEFAULT_MODEL, name)
    grey, _ = fit_picture(scene(), engine.input_size)
    as_tensor = np.repeat(grey[None, None].astype(np.float32) * np.float32(1 / 255), 3, axis=1)
    assert np.abs(engine.run_picture(grey) - engine.run(as_tensor)).max() <= 1e-3
    colours = [scene(seed) for seed in (6, 7, 8)]  # blue, green, red
    bgr = np.stack(colours, axis=-1)
    as_tensor = np.stack(colours[::-1])[None].astype(np.float32) * np.float32(1 / 255)
    answer = engine.run_picture(bgr)
    off = np.abs(answer - engine.run(as_tensor))
    if "bf16" in engine.name:  # eight bits of mantissa: the order of the first sums shows in boxes of no score
        assert off[:, 4:].max() <= 2 * SCORE_TOLERANCE
        assert np.median(off[:, :4]) <= BOX_TOLERANCE_PX
    else:
        assert off.max() <= 1e-2  # pixels of a box; scores are far closer
    swapped = np.abs(answer - engine.run(np.ascontiguousarray(as_tensor[:, ::-1])))
    assert swapped[:, 4:].max() > 10 * SCORE_TOLERANCE
    assert np.median(swapped[:, :4]) > 4 * BOX_TOLERANCE_PX


def test_a_compiled_model_is_kept_and_a_spoilt_one_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder is not None
    grey, _ = fit_picture(scene(), load_engine(DEFAULT_MODEL, "openvino").input_size)
    first = load_engine(DEFAULT_MODEL, "openvino").run_picture(grey)
    kept = list(folder.iterdir())
    assert kept
    assert np.array_equal(load_engine(DEFAULT_MODEL, "openvino").run_picture(grey), first)
    for path in kept:
        path.write_bytes(path.read_bytes()[:1000])
    assert np.array_equal(load_engine(DEFAULT_MODEL, "openvino").run_picture(grey), first)


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dronectl").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() is None
    assert load_engine(DEFAULT_MODEL, "openvino").run_picture(scene()).any()


def test_old_compiled_models_go(tmp_path: Path) -> None:
    for k in range(12):
        (tmp_path / f"{k}.blob").write_bytes(b"x")
        os.utime(tmp_path / f"{k}.blob", (k, k))
    prune(tmp_path, 8)
    assert {f.name for f in tmp_path.iterdir()} == {f"{k}.blob" for k in range(4, 12)}


def test_the_best_installed_engine_is_chosen() -> None:
    assert choose_engine() == installed_engines()[0] == "openvino"
    assert choose_engine("opencv") == "opencv"
    with pytest.raises(EngineChoiceError, match="unknown"):
        choose_engine("abacus")
    with pytest.raises(EngineChoiceError, match="does not read"):
        choose_engine("openvino", Path("model.pt"))


def test_an_engine_that_does_not_come_up_is_passed_over_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As with ONNX Runtime's package for cards on a machine where a library under its provider is missing."""
    library = tmp_path / "libonnxruntime_providers_tensorrt.so"
    library.write_bytes(b"not a library")
    for module in (choose, tensorrt_parts):
        monkeypatch.setattr(module, "provider_library", lambda: library)
    assert installed_engines()[:2] == ("tensorrt", "openvino")
    lack = tensorrt_parts.missing()
    assert lack is not None
    assert "openvino" in load_engine(DEFAULT_MODEL).name
    (line,) = caplog.messages
    assert lack.what in line
    assert "passed over" in line
    with pytest.raises(EngineUnusableError, match="tensorrt") as told:
        load_engine(DEFAULT_MODEL, "tensorrt")
    assert lack.mend in str(told.value)


def test_a_library_that_cannot_be_loaded_is_passed_over_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half an installation: Python finds the package, and it fails at import."""
    (tmp_path / "openvino").mkdir()
    (tmp_path / "openvino" / "__init__.py").write_text("raise ImportError('libtbb.so.12: cannot open it')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "vision.engines.openvino_engine")
    assert load_engine(DEFAULT_MODEL).name.startswith("onnxruntime")
    assert "engine openvino: its library cannot be loaded (libtbb.so.12: cannot open it)" in caplog.text
    with pytest.raises(EngineUnusableError, match="engine openvino: its library cannot be loaded"):
        load_engine(DEFAULT_MODEL, "openvino")


def test_tensorrt_is_not_built_while_a_service_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for module in (choose, tensorrt_parts):
        monkeypatch.setattr(module, "provider_library", lambda: tmp_path / "provider.so")
    monkeypatch.setattr(choose, "missing", lambda: None)
    assert "openvino" in load_engine(DEFAULT_MODEL).name
    assert f"{tensorrt_parts.BUILD} {DEFAULT_MODEL}" in caplog.text
    folder = tensorrt_parts.engine_folder(DEFAULT_MODEL)
    assert folder is not None
    folder.mkdir(parents=True)
    (folder / "card.engine").write_bytes(b"x")
    assert tensorrt_parts.is_built(DEFAULT_MODEL)
    other = tmp_path / "other.onnx"
    other.write_bytes(DEFAULT_MODEL.read_bytes() + b"\0")
    assert not tensorrt_parts.is_built(other)


@pytest.mark.skipif(tensorrt_parts.provider_library() is not None, reason="this ONNX Runtime has TensorRT")
def test_tensorrt_without_its_package_is_named() -> None:
    assert "tensorrt" not in installed_engines()
    with pytest.raises(EngineMissingError, match="doctor"):
        load_engine(DEFAULT_MODEL, "tensorrt")


def test_a_checkpoint_without_the_extra_says_what_to_install(tmp_path: Path) -> None:
    if "ultralytics" in installed_engines():
        pytest.skip("the extra is installed here")
    with pytest.raises(EngineMissingError, match=r"dronectl\[yolo\]"):
        load_engine(tmp_path / "model.pt")


@pytest.mark.yolo
def test_ultralytics_runs_a_checkpoint(data_dir: Path) -> None:
    pytest.importorskip("ultralytics", reason="the heavy extra is not installed")
    engine = load_engine(data_dir / "weights" / "yolo11n_hituav_thermal.pt")
    onnx = load_engine(data_dir / "weights" / "yolo11n_hituav_thermal_640.onnx", "onnxruntime")
    tensor, _ = to_tensor(scene(), onnx.input_size)
    assert engine.input_size == onnx.input_size
    difference = np.abs(engine.run(tensor)[:, 4:] - onnx.run(tensor)[:, 4:]).max()
    assert difference < SCORE_TOLERANCE


@pytest.mark.parametrize("name", ONNX_ENGINES)
@pytest.mark.parametrize(
    "content",
    [b"", b"MZ not a model at all" * 20, b"\x08" + bytes(range(256)) * 4],
    ids=["empty", "text", "looks-alike"],
)
def test_a_file_that_is_no_model_gives_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "no_model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"no_model\.onnx") as caught:
        load_engine(path, name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_a_model_that_was_cut_off_gives_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(DEFAULT_MODEL.read_bytes()[:300_000])
    with pytest.raises(ModelError, match=r"cut\.onnx") as caught:
        load_engine(path, name)
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)  # where in a library that was found is of no use to anybody


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        load_yolo(tmp_path / "none.onnx")


def test_input_shape_is_read_from_the_file() -> None:
    assert input_shape(DEFAULT_MODEL) == load_engine(DEFAULT_MODEL, "onnxruntime").input_size


def test_a_changed_model_does_not_fit_its_card(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    shutil.copyfile(DEFAULT_MODEL, model)
    card = tmp_path / "m.json"
    card.write_text('{"sha256": "00", "classes": ["person", "car", "bicycle", "other_vehicle"]}')
    with pytest.raises(ModelError, match="SHA-256"):
        read_card(model, 4)
    card.write_text('{"classes": ["person"]}')
    with pytest.raises(ModelError, match="4 classes"):
        read_card(model, 4)
    card.write_text("{")
    with pytest.raises(ModelError, match=r"m\.json"):
        read_card(model, 4)
    card.unlink()
    assert read_card(model, 4).classes[0] == "person"
    with pytest.raises(ModelError, match="80 classes"):
        read_card(model, 80)


def raw_output(boxes: list[tuple[float, float, float, float, float, int]], n: int = 200) -> np.ndarray:
    output = np.zeros((1, 8, n), np.float32)
    for i, (x, y, w, h, score, number) in enumerate(boxes):
        output[0, :4, i] = (x, y, w, h)
        output[0, 4 + number, i] = score
    return output


def test_both_output_layouts_mean_the_same() -> None:
    raw = decode(
        raw_output([(100, 80, 20, 40, 0.9, 0), (101, 80, 20, 40, 0.6, 0), (300, 200, 50, 30, 0.5, 1)]),
        Fit(1, 0, 0),
        (512, 640),
        0.25,
    )
    free = np.zeros((1, 300, 6), np.float32)
    free[0, 0] = (90, 60, 110, 100, 0.9, 0)
    free[0, 1] = (275, 185, 325, 215, 0.5, 1)
    same = decode(free, Fit(1, 0, 0), (512, 640), 0.25)
    assert len(raw) == 2
    assert np.allclose(raw.corners_px, same.corners_px)
    assert raw.classes.tolist() == same.classes.tolist() == [0, 1]
    assert np.allclose(raw.scores, same.scores)


def test_boxes_of_two_classes_do_not_suppress_each_other() -> None:
    both = decode(raw_output([(100, 80, 20, 40, 0.9, 0), (100, 80, 20, 40, 0.8, 2)]), Fit(1, 0, 0), (512, 640), 0.25)
    assert sorted(both.classes.tolist()) == [0, 2]


@pytest.mark.parametrize("shape", [(1, 3, 200), (2, 8, 200), (8, 200), (1, 200, 8)])
def test_other_outputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="not YOLO's"):
        decode(np.zeros(shape, np.float32), Fit(1, 0, 0), (512, 640), 0.25)


@given(st.integers(40, 2000), st.integers(40, 2000), st.floats(0, 1), st.floats(0, 1))
def test_letterbox_and_back(width: int, height: int, fx: float, fy: float) -> None:
    fit = fit_into((height, width), (512, 640))
    x, y = fx * width, fy * height
    on_input = (x * fit.scale + fit.left_px, y * fit.scale + fit.top_px)
    assert -1 <= on_input[0] <= 641
    assert -1 <= on_input[1] <= 513
    box = raw_output([(on_input[0], on_input[1], 8 * fit.scale, 8 * fit.scale, 0.9, 0)])
    found = decode(box, fit, (height, width), 0.25)
    if len(found) and 5 < x < width - 5 and 5 < y < height - 5:
        left, top, right, bottom = found.corners_px[0]
        assert abs((left + right) / 2 - x) < 0.51
        assert abs((top + bottom) / 2 - y) < 0.51


def test_a_hot_thing_does_not_darken_the_rest() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.normal(15, 2, (512, 640)).astype(np.float32)
    card = ModelCard("m", "", ("person",))
    plain = to_grey(Frame("a", None, 0, 0.0, pixels, PixelKind.CELSIUS), card)
    pixels = pixels.copy()
    pixels[100:110, 100:110] = 600.0
    fire = to_grey(Frame("a", None, 0, 0.0, pixels, PixelKind.CELSIUS), card)
    assert fire[105, 105] == 255
    assert np.abs(fire[200:].astype(int) - plain[200:].astype(int)).mean() < 4


def test_noise_is_not_blown_up() -> None:
    pixels = np.random.default_rng(3).normal(15, 0.05, (512, 640)).astype(np.float32)
    grey = to_grey(Frame("a", None, 0, 0.0, pixels, PixelKind.CELSIUS), ModelCard("m", "", ("person",)))
    assert grey.std() < 10


def test_sizes_and_scales_out_of_range_are_counted() -> None:
    engine = load_engine(DEFAULT_MODEL, "onnxruntime")
    card = ModelCard("m", "0" * 64, ("person", "car", "bicycle", "other_vehicle"), gsd_min_m=0.04, gsd_max_m=0.12)
    detector = YoloDetector(engine, card, confidence=0.01)
    frame = Frame("a", None, 0, 0.0, scene(), PixelKind.GREY8)
    everything = detector.detect(frame, None)
    assert everything
    detector.detect(frame, 0.05)
    assert detector.refused_frames == 0
    assert detector.detect(frame, 0.5) == []
    assert detector.refused_frames == 1
    assert "50.0 cm" in (detector.refusal(frame, 0.5) or "")
    colour = Frame("c", None, 0, 0.0, np.zeros((64, 64, 3), np.uint8), PixelKind.BGR8)
    assert detector.detect(colour, None) == []
    assert detector.refused_frames == 2


def test_a_climb_is_one_line_and_not_one_for_every_scale(caplog: pytest.LogCaptureFixture) -> None:
    card = ModelCard("m", "0" * 64, ("person", "car", "bicycle", "other_vehicle"), gsd_min_m=0.04, gsd_max_m=0.12)
    detector = YoloDetector(load_engine(DEFAULT_MODEL, "onnxruntime"), card)
    frame = Frame("a", None, 0, 0.0, scene(), PixelKind.GREY8)
    for gsd_cm in (1.0, 1.5, 2.0, 2.6, 3.0, 3.5, 5.0, 12.5, 13.0, 30.0, 40.0):
        detector.detect(frame, gsd_cm / 100)
    assert [record.getMessage() for record in caplog.records] == [
        "a: not looked at by model m: 1.0 cm per pixel, and the model is for 4.0 cm and more",
        "a: 2.6 cm per pixel is outside what model m was measured at; expect misses",
        "a: not looked at by model m: 30.0 cm per pixel, and the model is for 12.0 cm and less",
    ]
