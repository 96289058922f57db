"""The same answers on an accelerator, and every kind of work on it once: make gpu."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from PIL import Image

from frugalseg import SegmentationFolder, Segmenter, load_backbone
from frugalseg.backbones import load_saved_backbone
from frugalseg.backbones.ddpm.denoiser import Denoiser
from frugalseg.backbones.ddpm.samplers import sample
from frugalseg.backbones.ddpm.settings import SAMPLERS
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.toy.dataset import TOY_CLASSES, write_toy_folder
from frugalseg.jobs.generate import GenerateRequest, generate_folder
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.settings import RunOptions
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.onnx_export import export_onnx
from frugalseg.students.student import Student, View
from frugalseg.students.training import train_student
from frugalseg.support.precision import dtype_of
from frugalseg.training.averaging import AveragedWeights, rising_decay
from tests.backbones.ddpm.test_pretrain import TINY as TINY_DDPM
from tests.backbones.mae.test_pretrain import TINY as TINY_MAE
from tests.backbones.swav.test_pretrain import TINY as TINY_SWAV
from tests.pretraining.battery import log, progress, state
from tests.students.test_training import QUICK as QUICK_STUDENT
from tests.students.test_training import Stop, toy

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]

DEVICE = "cuda"
QUICK = replace(PROTOCOLS["default"], steps=60)
ROOT = Path(__file__).parents[1]
LOWER = ["bf16", "fp16"]
PRETRAINED = {"ddpm": TINY_DDPM, "mae": TINY_MAE, "swav": TINY_SWAV}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Without TF32, so that both devices compute in float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module")
def model(tiny_ddpm, toy_train, tmp_path_factory):
    """Folder of a model that was fitted on the CPU."""
    folder = tmp_path_factory.mktemp("models") / "model"
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150), blocks=(1, 2))
    Segmenter(backbone, protocol=QUICK, members=3).fit(SegmentationFolder(toy_train)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(rng.integers(0, 256, (30 + index, 16, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


def test_a_model_predicts_the_same_on_both_devices(model, toy_test):
    images = [example.image for example in SegmentationFolder(toy_test)]
    found = {}
    for device in ("cpu", DEVICE):
        found[device] = list(Segmenter.from_pretrained(model, device=device).predict(images, batch_size=2))
    for a, b in zip(found["cpu"], found[DEVICE], strict=True):
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-3)
        assert (a.mask == b.mask).mean() > 0.999


def test_fitting_on_a_gpu_learns_what_fitting_on_a_cpu_learns(tiny_ddpm, toy_train):
    dataset = SegmentationFolder(toy_train)
    scores = {}
    for device in ("cpu", DEVICE):
        backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 150), blocks=(1, 2))
        model = Segmenter(backbone, protocol=QUICK, members=3, device=device).fit(dataset)
        scores[device] = model.evaluate(dataset).metrics()["pixel_accuracy"]
    assert scores[DEVICE] == pytest.approx(scores["cpu"], abs=0.02)


@pytest.mark.parametrize("precision", LOWER)
def test_a_model_of_lower_precision_runs_and_is_the_same_once_loaded(precision, tiny_ddpm, toy_train, tmp_path):
    dataset = SegmentationFolder(toy_train)
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1,), precision=precision)
    model = Segmenter(backbone, protocol=QUICK, members=2, device=DEVICE).fit(dataset)
    model.save_pretrained(tmp_path / "model")
    (expected,) = model.predict([dataset[0].image])
    assert np.isfinite(expected.probabilities).all()
    for device, least in ((DEVICE, 0.999), ("cpu", 0.9)):
        again = Segmenter.from_pretrained(tmp_path / "model", device=device)
        assert again.backbone.unet.dtype == dtype_of(precision)
        (found,) = again.predict([dataset[0].image])
        assert (found.mask == expected.mask).mean() > least, device


class Places(pl.Callback):
    """Where the averaged weights are after each step."""

    def __init__(self, averaging):
        self.averaging, self.found = averaging, []

    def on_train_batch_end(self, *_):
        self.found += [{weight.device.type for weight in self.averaging.average.parameters()}]


def test_averaged_weights_are_where_the_training_is(tmp_path):
    averaging = AveragedWeights(rising_decay(0.9))
    places = Places(averaging)
    trainer = pl.Trainer(
        accelerator=DEVICE,
        devices=1,
        max_steps=2,
        limit_val_batches=0,
        callbacks=[averaging, places],
        logger=False,
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(BoringModel())
    assert places.found == [{DEVICE}, {DEVICE}]


@pytest.mark.parametrize("precision", LOWER)
@pytest.mark.parametrize("family", PRETRAINED)
def test_a_pretraining_is_continued(family, precision, photos, tmp_path):
    """The pictures at the end of each part are drawn there, too."""
    settings = replace(PRETRAINED[family], precision=precision)
    options = RunOptions(device=DEVICE, log_steps=1)
    for steps in (3, 6):
        assert pretrain(family, photos, tmp_path / "run", replace(settings, steps=steps), options)
        assert progress(tmp_path / "run")["step"] == steps
        assert list((tmp_path / "run" / "pictures").glob(f"*_{steps:07d}.png"))
    assert "begin at step 3 of 6" in log(tmp_path / "run")
    weights = state(tmp_path / "run")["state_dict"].values()
    assert all(values.isfinite().all() for values in weights)


@pytest.mark.parametrize("family", PRETRAINED)
def test_a_pretrained_backbone_sees_the_same_on_both_devices(family, photos, tmp_path):
    settings = replace(PRETRAINED[family], steps=2, precision="fp32")
    assert pretrain(family, photos, tmp_path / "run", settings, RunOptions(device=DEVICE))
    backbone = load_backbone(family, tmp_path / "run")
    assert_same_on_both_devices(backbone)
    assert_lower_precision_is_saved(load_backbone(family, tmp_path / "run", precision="bf16"), tmp_path / "saved")


def test_a_timm_backbone_sees_the_same_on_both_devices(tmp_path):
    options = {"model": "resnet18", "pretrained": False}
    assert_same_on_both_devices(load_backbone("timm", **options))
    assert_lower_precision_is_saved(load_backbone("timm", **options, precision="bf16"), tmp_path / "saved")


def image_for(backbone):
    """(1, 3, H, W) float32 in [0, 1], of the backbone's own size."""
    return torch.rand(1, 3, *backbone.native_size, generator=torch.Generator().manual_seed(0))


def assert_same_on_both_devices(backbone):
    image = image_for(backbone)
    expected = [values.clone() for values in backbone(image).maps]
    for a, b in zip(expected, backbone.to(DEVICE)(image).maps, strict=True):
        assert b.device.type == DEVICE
        assert (a - b.cpu()).abs().max() <= 1e-3 * a.abs().max()


def assert_lower_precision_is_saved(backbone, folder):
    expected = backbone.to(DEVICE)(image_for(backbone)).maps
    backbone.save_pretrained(folder)
    again = load_saved_backbone(folder).to(DEVICE)
    for a, b in zip(expected, again(image_for(again)).maps, strict=True):
        assert a.dtype == b.dtype == torch.bfloat16
        assert a.isfinite().all()
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("method", SAMPLERS)
def test_a_sampler_draws_the_same_on_both_devices(method, tiny_ddpm):
    """From a step that holds enough of the image for rounding not to be magnified."""
    backbone = load_backbone("ddpm", tiny_ddpm)
    denoise = Denoiser(backbone.unet, backbone.scheduler)
    here = sample(denoise, [1, 2, 3], steps=5, method=method, first=600)
    denoise.unet.to(DEVICE)
    there = sample(denoise, [1, 2, 3], steps=5, method=method, first=600)
    assert here.device == there.device == torch.device("cpu")
    torch.testing.assert_close(there, here, atol=1e-3, rtol=0)


def test_images_are_drawn_and_labelled(model, tmp_path):
    request = GenerateRequest(str(model), 4, options={"sampling_steps": 2}, device=DEVICE)
    found = generate_folder(request, tmp_path / "set")
    assert torch.get_float32_matmul_precision() == "highest"
    assert len(found) == 4 and np.isfinite(found.uncertainties).all()
    images = [labelled.image for labelled in found]
    # Labels are in TF32, and a few pixels of a hardly trained model are undecided.
    for labelled, exact in zip(found, Segmenter.from_pretrained(model).predict(images), strict=True):
        assert (found.classes.to_ids(labelled.target) == exact.mask).mean() > 0.95


@pytest.mark.parametrize("precision", LOWER)
def test_a_students_training_is_continued(precision, tmp_path):
    def stop(stage, done, total):
        if done == 6:
            raise Stop

    arguments = (toy(4), toy(2, 100), TOY_CLASSES, replace(QUICK_STUDENT, precision=precision))
    with pytest.raises(Stop):
        train_student(*arguments, work=tmp_path, device=DEVICE, workers=2, progress=stop)
    seen = []
    trained = train_student(
        *arguments, work=tmp_path, device=DEVICE, workers=2, progress=lambda *report: seen.append(report)
    )
    assert seen[0][1] == 5
    assert [each.step for each in trained.rounds] == [4, 8]
    assert all(np.isfinite(each.loss) for each in trained.rounds)
    assert trained.settings.precision == precision
    assert {weight.device.type for weight in trained.student.network.parameters()} == {DEVICE}
    (found,) = trained.student.predict([toy(1, 100)[0].image])
    assert np.isfinite(found.probabilities).all()


def test_a_student_is_exported_and_stays_where_it_is(tmp_path):
    pytest.importorskip("onnxruntime")
    student = Student(
        new_network(NetworkSpec("unet", "resnet18", 3, 10), 0), TOY_CLASSES, View((48, 48)), device=DEVICE
    )
    assert export_onnx(student, tmp_path / "student.onnx") < 1e-4
    assert {weight.device.type for weight in student.network.parameters()} == {DEVICE}


def run_python(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


FULL = """
import sys
import torch
from frugalseg.cli import main
torch.cuda.set_per_process_memory_fraction(1e-6)
main()
"""


def test_a_full_gpu_is_one_line(model, toy_test, tmp_path):
    arguments = ("predict", model, toy_test / "images", "-o", tmp_path / "masks", "--device", DEVICE)
    done = run_python("-c", FULL, *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "no memory left" in done.stderr and "--batch-size" in done.stderr


BENCHMARKS = {
    "fit": ("fit", "--members", "2", "--precision", "bf16"),
    "generate": ("generate", "--members", "2"),
    "memory": ("memory", "--unet", "--images", "2"),
    "predict": ("predict", "--unet", "--batch", "4", "--precision", "bf16"),
    "student": ("student", "--batch", "2", "--precision", "bf16"),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_runs(name, tmp_path):
    script, *arguments = BENCHMARKS[name]
    assert benchmark_rows(script, tmp_path, *arguments)


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler")
def test_the_benchmark_of_a_compiled_network_runs(tmp_path):
    assert benchmark_rows("predict", tmp_path, "--batch", "4", "--compile", "--precision", "bf16")


def test_the_benchmark_of_samplers_runs(tiny_ddpm, tmp_path):
    write_toy_folder(tmp_path / "photos", 24, seed=1, masks=False)
    arguments = ("--checkpoint", tiny_ddpm, "--images", tmp_path / "photos")
    assert len(benchmark_rows("samplers", tmp_path, *arguments)) == 2


def benchmark_rows(script, folder, *arguments):
    """The table of a benchmark, run on small sizes."""
    where = ("--quick", "--device", DEVICE, "--json", folder / "result.json")
    done = run_python("-m", f"benchmarks.{script}", *where, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "result.json").read_text())["rows"]
