"""frugalseg: semantic segmentation from a handful of annotated images.

from frugalseg import Segmenter, load_backbone

backbone = load_backbone("ddpm", "path/or/hub-id")
model = Segmenter(backbone).fit("photos")
model.save_pretrained("model")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from frugalseg.support.version import __version__

if TYPE_CHECKING:
    from frugalseg.backbones import load_backbone
    from frugalseg.classifier.ensemble import PixelClassifier
    from frugalseg.data.folder import SegmentationFolder
    from frugalseg.features.feature_maps import FeatureMaps
    from frugalseg.model import Prediction
    from frugalseg.models import load_model
    from frugalseg.segmenter import Segmenter
    from frugalseg.support.errors import InputError

__all__ = [
    "FeatureMaps",
    "InputError",
    "PixelClassifier",
    "Prediction",
    "SegmentationFolder",
    "Segmenter",
    "__version__",
    "load_backbone",
    "load_model",
]

# Resolved at first use, so that `frugalseg --help` need not wait for torch.
_HOMES = {
    "FeatureMaps": "frugalseg.features.feature_maps",
    "InputError": "frugalseg.support.errors",
    "PixelClassifier": "frugalseg.classifier.ensemble",
    "Prediction": "frugalseg.model",
    "SegmentationFolder": "frugalseg.data.folder",
    "Segmenter": "frugalseg.segmenter",
    "load_backbone": "frugalseg.backbones",
    "load_model": "frugalseg.models",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'frugalseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
