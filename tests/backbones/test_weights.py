"""Checkpoints of strangers: data is read, code is never run, damage and mismatch are one clear line."""

import argparse
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from frugalseg.backbones.weights import load_strictly, read_tensors
from frugalseg.support.errors import InputError

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


def test_loading_is_strict_and_lists_at_most_ten():
    network = nn.Linear(3, 2)
    good = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    load_strictly(network, good, "f")
    assert network.weight.eq(1).all()
    with pytest.raises(InputError, match="lacks bias;"):
        load_strictly(network, {"weight": good["weight"]}, "f")
    with pytest.raises(InputError, match="another shape: weight"):
        load_strictly(network, good | {"weight": torch.ones(3, 3)}, "f")
    with pytest.raises(InputError, match=r"x09 and 5 more"):
        load_strictly(network, good | {f"x{i:02d}": torch.ones(1) for i in range(15)}, "f")
