"""A file of a kilobyte does not fill the memory, whichever of torch's own calls it uses."""

import pickle

import pytest
import torch

from frugalseg.backbones.weights import read_tensors
from frugalseg.support.files import FileError
from frugalseg.support.saved_states import read_state
from frugalseg.support.torch_files import require_bounded

LENGTH = 2**20
WIDE = torch.zeros(1).expand(LENGTH)


class Calling:
    """What a file holds that makes torch call something."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


CALLS = {
    "bytes": (bytearray, (LENGTH,)),
    "device": (torch._utils._rebuild_device_tensor_from_cpu_tensor, (WIDE, torch.float64, "cpu", False)),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("call", CALLS)
def test_what_takes_more_memory_than_the_file_has_is_not_loaded(call, zipped, tmp_path):
    path = tmp_path / "w.pt"
    state = {"a": torch.zeros(2), "b": Calling(*CALLS[call])}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    assert path.stat().st_size < 3000
    assert len(torch.load(path, weights_only=True)["b"]) == LENGTH  # torch itself has no objection
    with pytest.raises(FileError, match=r"w\.pt: holds Python objects beside tensors"):
        read_tensors(path)
    if zipped:
        with pytest.raises(pickle.UnpicklingError, match="has no bound"):
            read_state(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_left_as_it_is(zipped, tmp_path):
    """Also optimizers, numbers, texts and bytes."""
    weights = torch.nn.Parameter(torch.arange(4.0, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weights])
    weights.sum().backward()
    optimizer.step()
    state = {"optimizer": optimizer.state_dict(), "half": torch.ones(3).half(), "tied": weights, "rest": [b"a", "b", 3]}
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    with (tmp_path / "w.pt").open("rb") as file:
        require_bounded(file)
        assert file.tell() == 0
        assert torch.load(file, weights_only=True)["rest"] == [b"a", "b", 3]
