"""Checkpoints of strangers: data is read, code is never run, damage and mismatch are one clear line."""

import argparse
import os
import pickle
import random
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.modules import module as registry

from frugalseg.backbones import load_backbone
from frugalseg.backbones.limits import at_most
from frugalseg.backbones.weights import header_of, load_strictly, network_with, read_tensors
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from tests.mutations import bytes_mutations, safetensors_mutations

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2)}


class Hostile:
    """Unpickling one creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("container", [None, "state_dict", "model", "ema", "teacher"])
def test_reads_tensors_wherever_they_are(container, tmp_path):
    path = tmp_path / "w.pt"
    torch.save({container: TENSORS, "epoch": 3} if container else TENSORS | {"epoch": 3}, path)
    assert {k: v.tolist() for k, v in read_tensors(path).items()} == {k: v.tolist() for k, v in TENSORS.items()}


class Other(argparse.Namespace):
    """Not the one class that is let through."""


def test_settings_beside_published_weights_are_let_through(tmp_path):
    """The official MAE code saves its command-line arguments, as an `argparse.Namespace`, with the weights."""
    path = tmp_path / "checkpoint-399.pth"
    args = argparse.Namespace(model="mae_vit_large", lr=None, betas=[0.9, 0.95], distributed=False)
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    torch.save({"model": TENSORS, "optimizer": optimizer, "epoch": 399, "scaler": {"scale": 1.0}, "args": args}, path)
    assert read_tensors(path).keys() == TENSORS.keys()
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_what_a_caller_lets_in_stays_let_in(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({"model": TENSORS, "args": argparse.Namespace(a=1)}, path)
    with torch.serialization.safe_globals([argparse.Namespace]):
        assert read_tensors(path).keys() == TENSORS.keys()
        assert argparse.Namespace in torch.serialization.get_safe_globals()


def test_threads_read_such_files_at_the_same_time(tmp_path):
    path, usual = tmp_path / "w.pth", sys.getswitchinterval()
    torch.save({"model": TENSORS, "args": argparse.Namespace(a=1)}, path)
    try:
        sys.setswitchinterval(1e-6)
        with ThreadPoolExecutor(4) as pool:
            assert all(found.keys() == TENSORS.keys() for found in pool.map(read_tensors, [path] * 100))
    finally:
        sys.setswitchinterval(usual)


@pytest.mark.parametrize("hidden", [lambda trap: Other(a=1), lambda trap: argparse.Namespace(a=Hostile(trap))])
def test_nothing_else_comes_in_with_them(hidden, tmp_path):
    path, trap = tmp_path / "evil.pth", tmp_path / "trap"
    torch.save({"model": TENSORS, "args": hidden(trap)}, path)
    with pytest.raises(InputError, match="holds Python objects beside tensors"):
        read_tensors(path)
    assert not trap.exists()


def test_reads_safetensors_and_the_old_torch_format(tmp_path):
    save_file(TENSORS, tmp_path / "w.safetensors")
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "old.pt"):
        assert read_tensors(tmp_path / name).keys() == TENSORS.keys()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "old.pt"])
def test_reads_files_in_folders_whose_names_are_no_utf8(name, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    save_file(TENSORS, tmp_path / "w.safetensors")
    torch.save(TENSORS, tmp_path / "w.pt")
    torch.save(TENSORS, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    shutil.copy(tmp_path / name, folder)
    found = read_tensors(folder / name)
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in TENSORS.items()}
    if name == "w.safetensors":
        assert header_of(folder / name) == {k: tuple(v.shape) for k, v in TENSORS.items()}
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    with pytest.raises(FileError, match=r"damaged|not a torch checkpoint"):
        read_tensors(folder / name)


@pytest.mark.parametrize("packed", ["data.pkl", "version", "0"])
def test_a_checkpoint_with_a_packed_part_is_not_unpacked(packed, tmp_path):
    """A few megabytes of it could stand for more than any memory holds."""
    torch.save(TENSORS, tmp_path / "stored.pt")
    with zipfile.ZipFile(tmp_path / "stored.pt") as stored, zipfile.ZipFile(tmp_path / "w.pt", "w") as other:
        for name in stored.namelist():
            kind = zipfile.ZIP_DEFLATED if name.endswith(f"/{packed}") else zipfile.ZIP_STORED
            other.writestr(name, stored.read(name), kind)
    with pytest.raises(FileError, match=r"w\.pt: its parts are packed.*save it again with torch\.save"):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"state_dict": TENSORS, "extra": x}])
@pytest.mark.parametrize("plain", [True, False])
def test_code_in_a_checkpoint_is_not_run(wrap, plain, tmp_path):
    path, trap = tmp_path / "evil.pt", tmp_path / "trap"
    if plain:
        path.write_bytes(pickle.dumps(wrap(Hostile(trap))))
    else:
        torch.save(wrap(Hostile(trap)), path)
    with pytest.raises(InputError, match=r"evil\.pt"):
        read_tensors(path)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 20, -5])
def test_truncated_files(name, kept, tmp_path):
    path = tmp_path / name
    save_file(TENSORS, path) if name.endswith("safetensors") else torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=rf"{name}: .*(damaged|truncated)"):
        read_tensors(path)


def test_nothing_there_and_nothing_in_it(tmp_path):
    with pytest.raises(InputError, match="no such checkpoint"):
        read_tensors(tmp_path / "none.pt")
    torch.save({"epoch": 1}, tmp_path / "empty.pt")
    with pytest.raises(InputError, match="no tensors by name"):
        read_tensors(tmp_path / "empty.pt")


def test_loading_is_strict_and_shows_the_first_names_that_are_wanted_and_found():
    network = nn.Linear(3, 2)
    good = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    load_strictly(network, good, "f")
    assert network.weight.eq(1).all()
    with pytest.raises(InputError, match="lacks bias;"):
        load_strictly(network, {"weight": good["weight"]}, "f")
    with pytest.raises(InputError, match="another shape: weight"):
        load_strictly(network, good | {"weight": torch.ones(3, 3)}, "f")
    strange = {f"x{i:02d}": torch.ones(1) for i in range(15)}
    with pytest.raises(InputError, match="lacks bias, has unknown x00, x01, x02 and 12 more; is it the checkpoint of"):
        load_strictly(network, {"weight": good["weight"]} | strange, "f")


def refusal(use):
    """The one line with which something is refused; None where it works."""
    try:
        use()
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 400
        return str(error)
    return None


def test_headers_that_lie_and_broken_bytes_are_refused(tmp_path):
    path, refused = tmp_path / "w.safetensors", []
    save_file(TENSORS, path)
    sound, network = path.read_bytes(), nn.ModuleDict({"a": nn.Linear(3, 2)})
    for name, content in [*safetensors_mutations(sound), *bytes_mutations(sound, random.Random(0))]:
        path.write_bytes(content)
        if refusal(lambda: load_strictly(network, read_tensors(path), path)):
            refused.append(name)
    assert {"cut to 0", "zeroed", "header of 100000000000 bytes", "a.bias shape [-1]", "a.bias dtype F9"} <= {*refused}
    assert {"a.bias data_offsets [10, 0]", "a.bias dtype I64", "another name", "a tensor twice"} <= {*refused}


STRANGE = {
    "keys that are no text": {3: torch.ones(2), (1, 2): torch.ones(2)},
    "a number posing as terabytes": {"conv1.weight": torch.ones(1).expand(10**12)},
    "many tensors that share one memory": dict.fromkeys(map(str, range(99)), torch.ones(9999)),
    "a sparse tensor": {"conv1.weight": torch.ones(2, 2).to_sparse()},
    "a tensor without memory": {"conv1.weight": torch.empty(10**12, device="meta")},
    "one number": {"conv1.weight": torch.tensor(1.0), "layer1.0.conv1.weight": torch.tensor(1.0)},
    "a stem alone": {"conv1.weight": torch.ones(1, 3, 7, 7), "layer1.0.conv1.weight": torch.ones(1)},
    "a wide stem": {"conv1.weight": torch.ones(10**4, 3, 7, 7), "layer1.0.conv1.weight": torch.ones(1)},
    "part of a UNet": {
        "input_blocks.0.0.weight": torch.ones(4, 3, 3, 3),
        "middle_block.0.in_layers.0.weight": torch.ones(4),
        "out.2.weight": torch.ones(3, 4, 3, 3),
        "output_blocks.0.0.in_layers.0.weight": torch.ones(4),
        "output_blocks.999999.0.in_layers.0.weight": torch.ones(4),
        "time_embed.0.weight": torch.ones(4, 4),
    },
    "patches alone": {
        "cls_token": torch.ones(1, 1, 64),
        "pos_embed": torch.ones(1, 5, 64),
        "patch_embed.proj.weight": torch.ones(64, 3, 2, 2),
        **{f"blocks.{n}.attn.qkv.weight": torch.ones(1) for n in range(99)},
    },
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=STRANGE)
def test_strange_checkpoints_are_refused_by_every_family(content, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    for family, options in (("ddpm", {}), ("swav", {}), ("mae", {}), ("timm", {"model": "test_vit"})):
        said = refusal(lambda family=family, options=options: load_backbone(family, tmp_path / "w.pt", **options))
        assert said is not None and "Traceback" not in said and "w.pt" in said, family


@pytest.mark.parametrize(("family", "wanted"), [("swav", "conv1.weight"), ("mae", "cls_token"), ("timm", "cls_token")])
def test_names_of_another_author_are_shown_with_those_that_are_wanted(family, wanted, tmp_path):
    save_file({"encoder.stem.kernel": torch.ones(2)}, tmp_path / "w.safetensors")
    options = {"model": "test_vit"} if family == "timm" else {}
    said = refusal(lambda: load_backbone(family, tmp_path / "w.safetensors", **options))
    assert said is not None and wanted in said and "encoder.stem.kernel" in said


def test_a_network_is_built_no_larger_than_its_tensors_say():
    with pytest.raises(InputError, match="asks for a larger network"), at_most(values=100):
        nn.Linear(1000, 1000)
    with pytest.raises(InputError, match="asks for a larger network"), at_most(tensors=5):
        nn.Sequential(*(nn.Linear(1, 1) for _ in range(10**9)))
    with pytest.raises(InputError, match="more layers than any network has"), at_most(tensors=5):
        nn.Sequential(*(nn.Identity() for _ in range(10**4)))
    with pytest.raises(InputError, match=r"another shape: weight \(2, 3\) for \(1000000, 1000000\)"):
        network_with(lambda: nn.Linear(10**6, 10**6, bias=False), {"weight": torch.ones(2, 3)}, "f")
    found = network_with(lambda: nn.Linear(3, 2), {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, "f")
    assert found.weight.eq(1).all() and found.bias.eq(0).all()


def test_a_network_is_built_while_another_thread_ends_one():
    """torch goes through its hooks at each parameter, and they must not change meanwhile."""

    def build():
        with at_most(tensors=2):
            nn.Linear(1, 1)

    def meanwhile(module, name, parameter):
        if name == "outer":
            thread = Thread(target=build)
            thread.start()
            thread.join()

    handle, network = registry.register_module_parameter_registration_hook(meanwhile), nn.Module()
    try:
        with at_most(tensors=1):
            network.register_parameter("outer", nn.Parameter(torch.ones(1)))
    finally:
        handle.remove()
    assert [*network.state_dict()] == ["outer"]


def test_nothing_is_said_beside_the_one_line(tmp_path, recwarn):
    path = tmp_path / "new.pt"
    path.write_bytes(pickle.dumps({"weight": 1}, protocol=4))
    assert refusal(lambda: read_tensors(path)) and not recwarn


def test_a_file_of_another_family_says_which_it_looks_like(tmp_path):
    torch.save({"decoder_pos_embed": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"not a ResNet.*it looks like a checkpoint for --backbone mae"):
        load_backbone("swav", tmp_path / "w.pt")
    torch.save(TENSORS, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"not a ResNet.*is it the checkpoint of another network"):
        load_backbone("swav", tmp_path / "w.pt")
