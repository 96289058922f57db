"""frugalseg: semantic segmentation from a handful of annotated images.

from frugalseg import Segmenter, SegmentationFolder, load_backbone

backbone = load_backbone("ddpm", "path/or/hub-id")
model = Segmenter(backbone).fit(SegmentationFolder("photos"))
model.save_pretrained("model")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frugalseg.backbones import load_backbone
    from frugalseg.data.folder import SegmentationFolder
    from frugalseg.errors import InputError
    from frugalseg.feature_maps import FeatureMaps
    from frugalseg.pixel_classifier import PixelClassifier
    from frugalseg.segmenter import Prediction, Segmenter

__version__ = "0.1.0"
__all__ = [
    "FeatureMaps",
    "InputError",
    "PixelClassifier",
    "Prediction",
    "SegmentationFolder",
    "Segmenter",
    "load_backbone",
]

# Resolved at first use, so that `frugalseg --help` need not wait for torch.
_HOMES = {
    "FeatureMaps": "frugalseg.feature_maps",
    "InputError": "frugalseg.errors",
    "PixelClassifier": "frugalseg.pixel_classifier",
    "Prediction": "frugalseg.predictor",
    "SegmentationFolder": "frugalseg.data.folder",
    "Segmenter": "frugalseg.segmenter",
    "load_backbone": "frugalseg.backbones",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'frugalseg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
