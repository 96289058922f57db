"""The pickles of stylegan2-ada-pytorch: the dictionary of ``G``, ``D`` and ``G_ema`` that its training writes.

A module is the name of its class, the source code of its file, and the dictionary of its attributes. The code that
wrote such a file runs that source to read it; here it is never looked at. See `pickled`.
"""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.backbones.limits import MOST_TENSORS
from frugalseg.backbones.stylegan2.checkpoints.networks import discriminator_of, generator_of
from frugalseg.backbones.stylegan2.checkpoints.pickled import Call, ForbiddenName, read_pickle
from frugalseg.backbones.stylegan2.network.discriminator import Discriminator
from frugalseg.backbones.stylegan2.network.generator import Generator
from frugalseg.backbones.stylegan2.network.mapping import RATE
from frugalseg.support.files import FileError
from frugalseg.support.ranges import BATCH, POSITIVE
from frugalseg.support.text import brief, quoted, reason
from frugalseg.support.torch_files import require_bounded

MODULE = "torch_utils.persistence._reconstruct_persistent_obj"
PARAMETER, TENSOR = "torch._utils._rebuild_parameter", "torch._utils._rebuild_tensor_v2"
STORAGE = "torch.storage._load_from_bytes"
ORDERED, EASY = "collections.OrderedDict", "dnnlib.util.EasyDict"
ALLOWED = (
    *(MODULE, PARAMETER, TENSOR, STORAGE, ORDERED, EASY, "builtins.set", "__builtin__.set", "numpy.dtype"),
    *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
)
"""All names of functions and classes in these files."""
OTHERS = {
    "dnnlib.tflib.network.Network": (
        "a network of TensorFlow, as StyleGAN and the first StyleGAN2 were published",
        "convert it with legacy.py of stylegan2-ada-pytorch",
    )
}
"""Names in pickles of other codes, and what these are."""
TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files begin that torch wrote before it wrote archives; those in these pickles are still of that kind."""
DEEPEST = 16
"""Modules within each other; the published networks have four."""
LONGEST_NAME = 200
"""Characters of a tensor's name in its state dict; those of the published networks have some 40."""
REPEATS = 4
"""All tensors together hold at most so many times the bytes of their file; see `frugalseg.backbones.weights`."""
ANOTHER_KIND = "only the networks that stylegan2-ada-pytorch trains by default are read"


def official_generator(path: Path) -> Generator:
    """The averaged generator, ``G_ema``, of a pickle.

    Raises:
        FileError: a damaged file, one with names of anything else, or a network of another kind.
    """
    file = OfficialFile(path)
    module = file.part("G_ema")
    synthesis = file.inner(module, "synthesis")
    if "input" in file.modules(synthesis) and "b4" not in file.modules(synthesis):
        raise FileError(path, "looks like a StyleGAN3, which is not supported", "give a network of StyleGAN2")
    block, layer = file.inner(synthesis, "b4"), file.inner(synthesis, "b4", "conv1")
    file.require(block, "b4", architecture="skip")
    file.require(layer, "b4.conv1", use_noise=True, activation="lrelu")
    file.require(file.inner(module, "mapping", "fc0"), "mapping.fc0", bias_gain=RATE, activation="lrelu")
    return generator_of(file.tensors(module), path, file.clamp(layer))


def official_discriminator(path: Path) -> Discriminator:
    """The discriminator, ``D``, of a pickle; raises what `official_generator` raises."""
    file = OfficialFile(path)
    module = file.part("D")
    names = [name for name in file.modules(module) if name not in ("b4", "mapping")]
    for name in names:
        file.require(file.inner(module, name), name, architecture="resnet")
    layer, deviation = file.inner(module, "b4", "conv"), file.inner(module, "b4", "mbstd")
    group = deviation.get("group_size", 4)
    group = int(BATCH.most) if group is None else group
    if not BATCH.holds(group):
        raise FileError(path, f"group_size is {_shown(group)}", "is it damaged?")
    return discriminator_of(file.tensors(module), path, group, file.clamp(layer))


class OfficialFile:
    """A pickle, of which tensors are made when they are asked for.

    Args:
        path: of the file.

    Raises:
        FileError: a damaged file, or one with a name outside of `ALLOWED`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.content = self.mapping(read_pickle(path, ALLOWED), "the file")
        except ForbiddenName as error:
            raise self.forbidden(str(error)) from None
        self.storages: dict[int, Tensor] = {}
        self.claimed, self.named = 0, 0

    def forbidden(self, name: str) -> FileError:
        """The error for a name outside of `ALLOWED`."""
        if name in OTHERS:
            what, remedy = OTHERS[name]
            return FileError(self.path, f"holds {what}", remedy)
        said = f"names {brief(name, 120)}, which no file of stylegan2-ada-pytorch does; nothing in it was executed"
        return FileError(self.path, said, "give a file that you trust")

    def damaged(self, what: str) -> FileError:
        """The error for something that is not as it should be."""
        return FileError(self.path, f"no network of stylegan2-ada-pytorch ({brief(what)})", "is it damaged?")

    def mapping(self, value: Any, what: str) -> dict[Any, Any]:
        """A dictionary of any of the kinds that occur."""
        if isinstance(value, Call) and value.name in (ORDERED, EASY):
            return value.items
        if not isinstance(value, dict):
            raise self.damaged(f"{what} is no dictionary")
        return value

    def part(self, name: str) -> dict[Any, Any]:
        """The attributes of one of the networks."""
        if name not in self.content:
            there = ", ".join(brief(str(key), 20) for key in list(self.content)[:5]) or "nothing"
            raise self.damaged(f"no {name} in it, but {there}")
        return self.attributes(self.content[name], name)

    def attributes(self, value: Any, what: str) -> dict[Any, Any]:
        """The attributes of a module."""
        if not isinstance(value, Call) or value.name != MODULE or len(value.args) != 1:
            raise self.damaged(f"{what} is no module")
        return self.mapping(self.mapping(value.args[0], what).get("state"), f"the state of {what}")

    def modules(self, module: Mapping[Any, Any]) -> dict[Any, Any]:
        """The modules in a module, by their names."""
        return self.mapping(module.get("_modules"), "_modules")

    def inner(self, module: dict[Any, Any], *names: str) -> dict[Any, Any]:
        """The attributes of a module in a module."""
        for name in names:
            module = self.attributes(self.modules(module).get(name), name)
        return module

    def require(self, module: Mapping[Any, Any], what: str, **wanted: Any) -> None:
        """Raise `FileError` where an attribute of a module has another value; where it is missing, it is the default.

        Args:
            module: its attributes.
            what: it is.
            wanted: values by names.
        """
        for name, value in wanted.items():
            found = module.get(name, value)
            if not isinstance(found, Call) and found != value:
                said = f"{name} of {brief(what, 40)} is {_shown(found)}, not {quoted(value)}"
                raise FileError(self.path, said, ANOTHER_KIND)

    def clamp(self, layer: Mapping[Any, Any]) -> float | None:
        """Where a layer cuts off its activations."""
        found = layer.get("conv_clamp")
        if found is not None and not POSITIVE.holds(found):
            raise self.damaged(f"conv_clamp is {_shown(found)}")
        return None if found is None else float(found)

    def tensors(self, module: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
        """The parameters and buffers of a module, by their names in its state dict."""
        if depth > DEEPEST:
            raise self.damaged("modules within each other without end")
        found = {}
        for kind in ("_parameters", "_buffers"):
            for last, value in self.mapping(module.get(kind), kind).items():
                name = self.name(prefix, last)
                if value is not None:
                    found[name] = self.tensor(value)
        for last, value in self.modules(module).items():
            name = self.name(prefix, last)
            if value is not None:
                found |= self.tensors(self.attributes(value, name), f"{name}.", depth + 1)
        return found

    def name(self, prefix: str, last: object) -> str:
        """The name of a part of a module; raises where there are too many: a few modules may hold each other often."""
        self.named += 1
        if self.named > MOST_TENSORS:
            raise self.damaged(f"more than {MOST_TENSORS} modules and tensors")
        if not isinstance(last, str) or len(prefix) + len(last) > LONGEST_NAME:
            raise self.damaged("a tensor or a module with an odd name")
        return prefix + last

    def tensor(self, value: Any) -> Tensor:
        """A parameter or a tensor, in the memory of its file's bytes."""
        if isinstance(value, Call) and value.name == PARAMETER and value.args:
            value = value.args[0]
        if not isinstance(value, Call) or value.name != TENSOR or len(value.args) < 4:
            raise self.damaged("a parameter that is no tensor")
        storage, offset, size, stride = value.args[:4]
        try:
            tensor = self.storage(storage).as_strided(size, stride, offset)
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise self.damaged(reason(error)) from None
        self.claim(tensor)
        return tensor

    def claim(self, tensor: Tensor) -> None:
        """Raise where the tensors pose as more than their file can hold."""
        self.claimed += tensor.numel() * tensor.element_size()
        if self.claimed > REPEATS * self.path.stat().st_size:
            raise self.damaged("its tensors claim more values than the file has")

    def storage(self, value: Any) -> Tensor:
        """(n,): the values of a storage, which is a small file of torch of its own."""
        if not isinstance(value, Call) or value.name != STORAGE or not _is_bytes(value.args):
            raise self.damaged("a tensor without values")
        content = value.args[0]
        if id(content) not in self.storages:  # many storages may be of the same bytes
            self.storages[id(content)] = self.loaded(content)
        return self.storages[id(content)]

    def loaded(self, content: bytes) -> Tensor:
        """The values in such a file, read by torch, which executes nothing either."""
        if not content.startswith(TORCH):  # an archive could be packed, and far larger than its bytes
            raise self.damaged("a tensor without values")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd pickles, and of torch's own older kind of storage
                require_bounded(file := io.BytesIO(content))
                found = torch.load(file, map_location="cpu", weights_only=True)
                values = torch.tensor([], dtype=found.dtype).set_(found)
        except Exception as error:  # broken bytes can make torch raise nearly anything
            raise self.damaged(reason(error)) from None
        if values.untyped_storage().nbytes() > len(content):
            raise self.damaged("a storage claims more values than it has")
        return values


def _is_bytes(args: tuple[Any, ...]) -> bool:
    return len(args) == 1 and isinstance(args[0], bytes)


def _shown(value: Any) -> str:
    """A value of a file for a message; of one that holds others, which could be endless to write, only its kind."""
    return quoted(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
