"""`generate`: killed at any moment it ends with the same files; what is wrong is said in one line."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalseg.backbones import load_backbone
from frugalseg.classifier.training import PROTOCOLS
from frugalseg.data.folder import SegmentationFolder
from frugalseg.data.masks import write_mask
from frugalseg.data.toy.dataset import TOY_CLASSES, write_toy_folder
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.generate import GenerateRequest, annotation_folder, generate_folder
from frugalseg.segmenter import Segmenter
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.student import Student, View
from frugalseg.support.errors import InputError
from frugalseg.support.files import read_json, write_json
from frugalseg.synthetic import SyntheticSet
from frugalseg.synthetic.sources import seed_of
from tests.jobs.test_resume import QUICK, Stop, stop_at

OPTIONS = {"sampling_steps": 2, "first_step": 900}


@pytest.fixture(scope="module")
def model(toy_train, tiny_ddpm, tmp_path_factory):
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1, 2))
    out = tmp_path_factory.mktemp("models") / "model"
    Segmenter(backbone, members=2, protocol=QUICK).fit(SegmentationFolder(toy_train)).save_pretrained(out)
    return str(out)


def files(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.suffix != ".log"}


# Imports once, then forks: each life costs a blink, and is a process of its own that SIGKILL ends.
LIVES = """
import os, sys, time
import diffusers
from pathlib import Path
from frugalseg.jobs.generate import GenerateRequest, generate_folder
import frugalseg.backbones.ddpm.backbone, frugalseg.backbones.ddpm.generator
model, whole, killed, shares = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), eval(sys.argv[4])
request = GenerateRequest(model, 24, options={"sampling_steps": 2, "first_step": 900}, batch_size=2, shard_size=3)

def life(out):
    child = os.fork()
    if not child:
        generate_folder(request, out)
        os._exit(0)
    return child

began = time.perf_counter()
assert os.waitstatus_to_exitcode(os.waitpid(life(whole), 0)[1]) == 0
took = time.perf_counter() - began
for share in shares:
    child = life(killed)
    time.sleep(share * took)
    os.kill(child, 9)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(killed.glob("shard-*.json"))), flush=True)
assert os.waitstatus_to_exitcode(os.waitpid(life(killed), 0)[1]) == 0
"""


@pytest.mark.slow
def test_killed_at_ten_random_moments(model, tmp_path):
    shares = [random.uniform(0.05, 0.5) for _ in range(10)]
    print(shares)  # for when it fails
    command = [sys.executable, "-c", LIVES, model, str(tmp_path / "whole"), str(tmp_path / "killed"), repr(shares)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    codes = [int(line.split()[0]) for line in run.stdout.splitlines()]
    assert -signal.SIGKILL in codes and set(codes) <= {-signal.SIGKILL, 0}
    assert len(files(tmp_path / "whole")) == 8 * 2 + 3
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_set_and_its_npz(model, tmp_path):
    seen = []
    request = GenerateRequest(model, 5, options=OPTIONS, batch_size=2, shard_size=4, npz=tmp_path / "set.npz")
    found = generate_folder(request, tmp_path / "set", progress=lambda *report: seen.append(report))
    assert seen[0] == ("generate", 0, 5) and seen[-1] == ("generate", 5, 5)
    assert "complete" in (tmp_path / "set" / "generate.log").read_text()
    assert len(found) == 5 and found.classes == TOY_CLASSES
    published = SyntheticSet(tmp_path / "set.npz", TOY_CLASSES)
    assert (published.uncertainties == found.uncertainties).all()
    assert all(
        (a.image == b.image).all() and (a.target == b.target).all() for a, b in zip(published, found, strict=True)
    )


def test_ranks_of_torchrun(model, tmp_path, monkeypatch):
    request = GenerateRequest(model, 5, options=OPTIONS, batch_size=2, shard_size=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert generate_folder(request, tmp_path / "set") is None
    assert [p.name for p in (tmp_path / "set").glob("*.tar")] == ["shard-000001.tar"]
    with pytest.raises(InputError, match="single process"):
        generate_folder(request, tmp_path / "set", overwrite=True)
    monkeypatch.setenv("RANK", "0")
    assert len(generate_folder(request, tmp_path / "set") or ()) == 5
    monkeypatch.setenv("RANK", "second")
    with pytest.raises(InputError, match="not numbers"):
        generate_folder(request, tmp_path / "set")


def test_a_data_folder_serves_as_photographs(model, toy_test, tmp_path):
    found = generate_folder(GenerateRequest(model, images=toy_test), tmp_path / "set")
    assert found is not None and len(found) == 3 and found.size(0) == (48, 48)


def test_models_that_cannot_generate_are_told_which_can(toy_train, tmp_path):
    request = FitRequest(toy_train, "colour", None, {}, {"protocol": QUICK, "members": 1})
    fit_folder(request, tmp_path / "model")
    with pytest.raises(InputError, match=r"a colour backbone cannot generate images; those of the .*ddpm"):
        generate_folder(GenerateRequest(str(tmp_path / "model"), 4), tmp_path / "set")
    assert not (tmp_path / "set").exists()
    labelled = generate_folder(GenerateRequest(str(tmp_path / "model"), images=toy_train), tmp_path / "set")
    assert labelled is not None and len(labelled) == 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "give one of -n"),
        ({"count": 1, "images": Path("x")}, "give one of -n"),
        ({"count": 1, "for_annotation": 2}, "give one of -n"),
        ({"count": 1, "classes": Path("x")}, "--classes: only with --for-annotation"),
        ({"count": 1, "npz": Path("x.zip")}, r"must end in \.npz"),
        ({"for_annotation": 1, "npz": Path("x.npz")}, "images for annotators have no labels yet"),
        ({"count": 1, "longest_side": 20}, "--longest-side is for photographs"),
        ({"images": Path("x"), "options": {"sampling_steps": 2}}, "--sampling-steps: for images that are drawn"),
    ],
)
def test_requests_that_make_no_sense(values, message):
    with pytest.raises(InputError, match=message):
        GenerateRequest("model", **values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "at least one image"),
        ({"count": 1, "options": {"sampler": "euler"}}, "no sampler 'euler'"),
        ({"count": 1, "options": {"sampling_steps": 0}}, "sampling_steps is 0; give a whole number from 1"),
        ({"count": 1, "options": {"first_step": 1000}}, "0 to 999"),
        ({"count": 1, "options": {"temperature": 1}}, "no option temperature; known: sampler, sampling_steps"),
        ({"images": Path("missing")}, "no such folder"),
        ({"count": 1, "batch_size": -1}, "at least one image is needed"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(values, message, model, tmp_path):
    with pytest.raises(InputError, match=message):
        generate_folder(GenerateRequest(model, **values), tmp_path / "set")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("set.npz", (48, 32), "2 sizes"),
        ("a_folder.npz", (48, 48), "a folder"),
        ("none/set.npz", (48, 48), "in none"),
        ("mine.npz", (48, 48), "would be replaced, and is no such set .*give another name, or delete it"),
        ("notes.npz", (48, 48), "would be replaced, and is no such set .*give another name, or delete it"),
    ],
)
def test_an_npz_that_cannot_be_written_is_refused_before_the_work(name, sizes, message, model, tmp_path):
    for number, size in enumerate(sizes):
        write_toy_folder(tmp_path / "photos", 1, seed=1, masks=False, size=size, first=number)
    (tmp_path / "a_folder.npz").mkdir()
    np.savez(tmp_path / "mine.npz", embeddings=np.arange(3))
    (tmp_path / "notes.npz").write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.npz") if path.is_file()}
    request = GenerateRequest(model, images=tmp_path / "photos", npz=tmp_path / name)
    with pytest.raises(InputError, match=message):
        generate_folder(request, tmp_path / "set")
    assert not (tmp_path / "set").exists()
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.npz") if path.is_file()}


def test_an_output_folder_never_replaces_an_input(model, tmp_path):
    write_toy_folder(tmp_path / "photos" / "images", 1, seed=1, masks=False)
    for request, out in (
        (GenerateRequest(model, images=tmp_path / "photos"), tmp_path / "photos"),
        (GenerateRequest(model, images=tmp_path / "photos" / "images"), tmp_path / "photos"),
        (GenerateRequest(model, 2, options=OPTIONS), Path(model)),
    ):
        with pytest.raises(InputError, match="which this command reads; choose another output folder"):
            generate_folder(request, out, overwrite=True)
    assert (tmp_path / "photos" / "images" / "000000.png").exists() and (Path(model) / "config.json").exists()


def test_students_draw_no_images_for_annotators(tmp_path):
    network = new_network(NetworkSpec("unet", "mobilenet_v2", 3, 10), 0)
    Student(network, TOY_CLASSES, View((48, 48))).save_pretrained(tmp_path / "student")
    with pytest.raises(InputError, match="a student cannot generate images"):
        annotation_folder(GenerateRequest(str(tmp_path / "student"), for_annotation=2), tmp_path / "out")


def test_for_annotation_and_back_into_fit(model, tmp_path):
    """Images with empty masks; painted, they train a model. What has been painted survives a rerun."""
    request, out = GenerateRequest(model, for_annotation=3, options=OPTIONS, batch_size=2), tmp_path / "to_annotate"
    with pytest.raises(Stop):
        annotation_folder(request, out, progress=stop_at("draw", 2))
    assert annotation_folder(request, out) == 2
    empty = Image.open(out / "masks" / "00000000.png")
    assert empty.mode == "P" and (np.asarray(empty) == 255).all()
    assert "  1  body" in (out / "README.txt").read_text()
    found = SegmentationFolder(out)
    assert len(found) == 3 and found.classes == TOY_CLASSES
    painted = np.full(found.size(0), 255)
    painted[:8], painted[8:] = 0, 1
    write_mask(out / "masks" / "00000000.png", painted, TOY_CLASSES)
    renamed = (out / "classes.json").read_text().replace("muzzle", "snout")
    (out / "classes.json").write_text(renamed)
    assert annotation_folder(replace(request, for_annotation=4), out) == 1
    assert (out / "classes.json").read_text() == renamed
    assert annotation_folder(request, out) == 0
    readme = (out / "README.txt").read_text()
    assert "4 images" in readme and f"--checkpoint {Path(model) / 'backbone'} " in readme
    assert (np.asarray(Image.open(out / "masks" / "00000000.png")) == painted).all()
    with pytest.raises(InputError, match="drawn otherwise"):
        annotation_folder(replace(request, seed=1), out)
    with pytest.raises(InputError, match="somebody has painted"):
        annotation_folder(request, out, overwrite=True)
    settings = {"protocol": PROTOCOLS["default"].name, "members": 1, "small_region": 0}
    checkpoint = str(Path(model) / "backbone")
    fit = FitRequest(out, "ddpm", checkpoint, {"timesteps": (50,), "blocks": (1,)}, {**settings, "protocol": QUICK})
    fit_folder(fit, tmp_path / "fitted")


@pytest.mark.skipif(sys.platform != "linux", reason="names are always Unicode there")
def test_the_words_to_annotators_name_a_folder_that_is_no_utf_8(model, tmp_path):
    out = tmp_path / os.fsdecode(b"caf\xe9")
    assert annotation_folder(GenerateRequest(model, for_annotation=1, options=OPTIONS), out) == 1
    assert b"frugalseg check '" + os.fsencode(out) + b"'\n" in (out / "README.txt").read_bytes()


def test_unfinished_images_do_not_count(model, tmp_path):
    """Neither those that a killed call left, which the next one removes, nor those that another one is writing."""
    request, out = GenerateRequest(model, for_annotation=2, options=OPTIONS), tmp_path / "to_annotate"
    annotation_folder(request, out)
    left = out / "images" / ".00000000.partial-abcd1234.png"
    shutil.copy(out / "images" / "00000000.png", left)
    other = out / "images" / ".00000001.png"
    shutil.copy(left, other)
    assert annotation_folder(request, out) == 0
    assert "2 images" in (out / "README.txt").read_text()
    assert not left.exists() and other.exists()


def test_an_npz_that_a_killed_call_left_unfinished(model, tmp_path):
    (tmp_path / ".set.partial-abcd1234.npz").write_bytes(b"half")
    (tmp_path / ".other.partial-abcd1234.npz").write_bytes(b"not ours")
    generate_folder(GenerateRequest(model, 1, options=OPTIONS, npz=tmp_path / "set.npz"), tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.partial-abcd1234.npz", "set", "set.npz"]


def test_images_of_two_networks_never_mix(model, tiny_ddpm, tmp_path):
    request, other = GenerateRequest(model, for_annotation=2, options=OPTIONS), tmp_path / "other"
    annotation_folder(request, tmp_path / "out")
    segmenter = Segmenter.from_pretrained(model)
    next(segmenter.backbone.parameters()).data += 1
    segmenter.save_pretrained(other)
    with pytest.raises(InputError, match=r"out: holds images .* drawn otherwise \(another network\); choose another"):
        annotation_folder(replace(request, model=str(other), for_annotation=4), tmp_path / "out")
    with pytest.raises(InputError, match=r"drawn otherwise \(seed: 0 before, 3 now\)"):
        annotation_folder(replace(request, seed=3), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        annotation_folder(request, tmp_path / "full")


def test_no_labeled_set_repeats_images_for_annotators(model, tmp_path):
    annotation_folder(GenerateRequest(model, for_annotation=3, options=OPTIONS), tmp_path / "annotated")
    found = generate_folder(GenerateRequest(model, 3, options=OPTIONS), tmp_path / "set")
    seeds = [origin["seed"] for origin in read_json(tmp_path / "annotated" / "origins.json")["images"].values()]
    assert len(seeds) == 3 and not set(seeds) & {sample.origin for sample in found}


def test_a_folder_for_annotators_of_an_earlier_version_goes_on(model, tmp_path):
    """Its record does not say where its images begin, which was then where those of labeled sets do."""
    request, out = GenerateRequest(model, for_annotation=1, options=OPTIONS), tmp_path / "out"
    annotation_folder(request, out)
    record = read_json(out / "run.json")
    del record["first"]
    write_json(out / "run.json", record)
    assert annotation_folder(replace(request, for_annotation=2), out) == 1
    assert read_json(out / "origins.json")["images"]["00000001.png"]["seed"] == seed_of(0, 1)


def test_annotators_need_no_fitted_model(tiny_ddpm, tmp_path):
    request = GenerateRequest(str(tiny_ddpm), for_annotation=2, options=OPTIONS)
    assert annotation_folder(request, tmp_path / "bare") == 2
    assert not (tmp_path / "bare" / "classes.json").exists()
    assert "classes.json" in (tmp_path / "bare" / "README.txt").read_text()
    TOY_CLASSES.to_json(tmp_path / "classes.json")
    annotation_folder(replace(request, classes=tmp_path / "classes.json"), tmp_path / "named")
    assert SegmentationFolder(tmp_path / "named").classes == TOY_CLASSES
