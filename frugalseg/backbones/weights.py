"""Checkpoints as data: reading tensors from files that strangers made, and fitting them into our networks."""

import argparse
import pickle
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch import Tensor, nn

from frugalseg.backbones.limits import at_most
from frugalseg.backbones.registry import family_with
from frugalseg.support.errors import InputError
from frugalseg.support.files import FileError
from frugalseg.support.numbers import has_nan
from frugalseg.support.paths import as_path, nameable
from frugalseg.support.text import brief, listing
from frugalseg.support.torch_files import require_bounded, require_stored

CONTAINERS = ("state_dict", "model", "ema", "teacher")
LISTED, LONGEST_NAME = 3, 40
ANOTHER = "is it the checkpoint of another network?"
NAN = "did its training fail, or is the file damaged? give another one"
REPEATS = 4
"""Tensors may share memory, as tied weights do; all together hold at most so many times the bytes of their file."""
AT_ONCE = 2**27
"""Bytes after which a file is opened anew."""
HARMLESS: list[Any] = [argparse.Namespace]
"""Classes, beside tensors and plain data, that a torch file may hold: the settings beside published weights; unused."""
LOADING = threading.Lock()
"""Whoever lets classes into torch files lets them in for all threads of the process."""
Network = TypeVar("Network", bound=nn.Module)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The named tensors of a ``.safetensors`` file or of a torch file, on the CPU; nothing in the file is executed.

    See `read_content` and `tensors_in`.
    """
    return tensors_in(read_content(path), path)


def read_content(path: str | Path, stand_ins: Sequence[tuple[type, str]] = ()) -> object:
    """What a ``.safetensors`` file or a torch file holds, on the CPU; nothing in the file is executed.

    A torch file may hold tensors, plain data, and the settings of a training as an `argparse.Namespace`.

    Args:
        path: the file.
        stand_ins: empty classes of ours, and the full names of those in the file that they take the place of.

    Raises:
        FileError: no such file, a damaged file, or one that holds anything else.
    """
    path = as_path(path, "checkpoint file")
    if not path.is_file():
        raise FileError(path, "no such checkpoint file", "check the path")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path, stand_ins)


def tensors_in(content: object, path: str | Path) -> dict[str, Tensor]:
    """The named tensors in what `read_content` gave.

    A torch file may hold the tensors at top level or under one of the usual keys (`CONTAINERS`);
    its other entries are left out.

    Raises:
        FileError: there are none, or they claim more values than the file can hold.
    """
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    entries = content.items() if isinstance(content, Mapping) else ()
    tensors = {k: v for k, v in entries if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise FileError(path, "no tensors by name in this checkpoint", "give the file that holds the state dict")
    require_backed(tensors, Path(path))
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    try:
        with nameable(path) as place:
            with safe_open(place, "pt") as file:
                left = list(file.keys())
            while left:
                left = _read_some(place, left, tensors)
    except Exception as error:  # headers that lie make the library fail in many ways
        raise _damaged(path, "safetensors file", error) from None
    return tensors


def _read_some(path: Path, left: list[str], tensors: dict[str, Tensor]) -> list[str]:
    """Read some of the tensors that are left, and say which are left then.

    What is read through one opening of the file stays in memory until it ends, beside the tensors.
    """
    nbytes = 0
    with safe_open(path, "pt") as file:
        for number, name in enumerate(left, 1):
            tensors[name] = file.get_tensor(name).clone()
            nbytes += tensors[name].nbytes
            if nbytes > AT_ONCE:
                return left[number:]
    return []


def _read_torch(path: Path, stand_ins: Sequence[tuple[type, str]]) -> object:
    zipped = _is_zip(path)
    try:
        if zipped:
            require_stored(path)
        with path.open("rb") as file:
            require_bounded(file)
        with nameable(path) as place, allowing([*HARMLESS, *stand_ins]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of odd pickles, and then refuses them
            return torch.load(place, map_location="cpu", weights_only=True, mmap=zipped)
    except InputError:
        raise FileError(path, "its parts are packed, which torch never does", "save it again with torch.save") from None
    except pickle.UnpicklingError as error:
        if "Weights only load failed" in str(error) and "GLOBAL" in str(error):
            raise FileError(
                path, "holds Python objects beside tensors, which are never executed", "save its state dict alone"
            ) from None
        remedy = "give the file of the weights; if this is it, download it again"
        raise FileError(path, "not a torch checkpoint, or a damaged one", remedy) from None
    except Exception as error:  # broken bytes can make torch raise nearly anything
        raise _damaged(path, "checkpoint", error) from None


@contextmanager
def allowing(classes: Sequence[Any]) -> Iterator[None]:
    """Within the block, torch files may hold these classes; those that the caller lets in stay let in behind it."""
    with LOADING:
        there = torch.serialization.get_safe_globals()
        with torch.serialization.safe_globals([each for each in classes if each not in there]):
            yield


def _damaged(path: Path, what: str, error: Exception) -> FileError:
    said = brief(error, 120) or type(error).__name__
    return FileError(path, f"damaged or truncated {what} ({said})", "get the file anew")


def require_backed(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise `FileError` where tensors claim values that are not in the file: one number may pose as a terabyte."""
    claimed, there = 0, path.stat().st_size
    for name, tensor in tensors.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        nbytes = tensor.numel() * tensor.element_size()
        if not plain or nbytes > tensor.untyped_storage().nbytes():
            raise FileError(path, f"{_shown(name)} is no plain tensor with all its values", "save contiguous tensors")
        claimed += nbytes
    if claimed > REPEATS * there:
        raise FileError(path, f"its tensors claim {claimed} bytes, the file has {there}", "save contiguous tensors")


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def header_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a ``.safetensors`` file, without reading their values.

    Raises:
        FileError: a damaged file.
    """
    try:
        with nameable(path) as place, safe_open(place, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # as above
        raise _damaged(path, "safetensors file", error) from None


def network_with(
    build: Callable[[], Network], tensors: Mapping[str, Tensor], source: str | Path, *, copied: bool = True
) -> Network:
    """A network that is built for `tensors` and holds them; no memory is taken before they are known to fit.

    Args:
        build: makes the network, all of whose tensors are in its state dict.
        tensors: as for `load_strictly`.
        source: where they are from, for errors.
        copied: False where nothing else holds the tensors, so that the network can take those of the right format.

    Returns:
        The network in float32 on the CPU.

    Raises:
        FileError: what is built does not fit the tensors, or cannot be built.
    """
    try:
        with torch.device("meta"), at_most(2 * len(tensors) + 100):
            network = build()
    except (InputError, RuntimeError, ValueError, TypeError, ArithmeticError) as error:
        raise FileError(source, f"no network can be built for it ({brief(error)})", ANOTHER) from None
    require_fitting(network, tensors, source)
    if copied:
        network.to_empty(device="cpu")
        network.load_state_dict(dict(tensors), assign=False)
    else:
        own = network.state_dict()
        network.load_state_dict({name: values.to(own[name].dtype) for name, values in tensors.items()}, assign=True)
    return network


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy `tensors` into `network`: every parameter and buffer must be given, with its shape, and nothing else.

    Raises:
        FileError: see `require_fitting`.
    """
    require_fitting(network, tensors, source)
    network.load_state_dict(dict(tensors), assign=False)


def require_fitting(network: nn.Module, tensors: Mapping[str, Tensor], source: str | Path) -> None:
    """Raise `FileError` unless `load_strictly` would work; of names and shapes that do not fit the first are shown.

    Args:
        network: on any device, that without memory (``meta``) included.
        tensors: by the network's names.
        source: where they are from, for the error.
    """
    own = network.state_dict()
    require_names(own, tensors, source)
    wrong = [
        f"{_shown(k)} {tuple(tensors[k].shape)} for {tuple(own[k].shape)}"
        for k in own
        if tensors[k].shape != own[k].shape
    ]
    if wrong:
        raise FileError(source, f"has tensors of another shape: {listing(wrong, LISTED)}", ANOTHER)
    odd = [k for k in own if own[k].is_floating_point() and not tensors[k].is_floating_point()]
    if odd:
        raise FileError(source, f"has {tensors[odd[0]].dtype} numbers in {_shown(odd[0])}", ANOTHER)
    empty = [k for k in own if has_nan(tensors[k])]
    if empty:
        raise FileError(source, f"holds values that are no numbers (NaN) in {names(empty)}", NAN)


def require_names(wanted: Iterable[str], found: Iterable[str], source: str | Path) -> None:
    """Raise `FileError` unless both are the same names; the first that are lacking and the first unknown are shown."""
    there, own = dict.fromkeys(found), dict.fromkeys(wanted)
    lacking, unknown = [k for k in own if k not in there], [k for k in there if k not in own]
    parts = [f"{verb} {names(keys)}" for verb, keys in (("lacks", lacking), ("has unknown", unknown)) if keys]
    if parts:
        raise FileError(source, ", ".join(parts), ANOTHER)


def foreign(source: str | Path, what: str, wanted: Iterable[str], found: Iterable[str]) -> FileError:
    """The error for a file of another network: what it is not, and what it looks like.

    Args:
        source: of the file.
        what: it is not, in words.
        wanted: names of tensors that it should have.
        found: those that it has.
    """
    there = dict.fromkeys(found)
    lacking, family = [name for name in wanted if name not in there], family_with(there)
    remedy = f"it looks like a checkpoint for --backbone {family}" if family else ANOTHER
    return FileError(source, f"{what}: wanted {names(lacking)}, found {names(there)}", remedy)


def names(keys: Iterable[str]) -> str:
    """The first few of some tensors' names."""
    return listing([_shown(key) for key in keys], LISTED) or "none"


def _shown(name: str) -> str:
    return brief(name, LONGEST_NAME)
