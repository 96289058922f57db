"""A pixel classifier from its description and its tensors, which are compared before it takes up memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.features.taps import Tap
from frugalseg.support.numbers import has_nan


@dataclass(frozen=True)
class ClassifierShape:
    """The arguments of a `PixelClassifier`, as `PixelClassifier.config` gives them."""

    channels: tuple[int, ...]
    num_classes: int
    members: int
    hidden: tuple[int, int]

    def require_fitting(self, taps: Sequence[Tap], classes: int) -> None:
        """Raise `ValueError` unless such a classifier reads the maps at these taps and knows so many classes."""
        if self.channels != tuple(tap.channels for tap in taps):
            raise ValueError("the classifier reads maps of other channels than the backbone gives")
        if self.num_classes != classes:
            raise ValueError(f"{self.num_classes} classes in the classifier, {classes} in classes.json")

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor of such a classifier, by its name in the state dict."""
        (first, second), dim = self.hidden, sum(self.channels)
        widths = {"1": (dim, first), "2": (first, second), "3": (second, self.num_classes)}
        shapes: dict[str, tuple[int, ...]] = {"feature_mean": (dim,), "feature_scale": (dim,)}
        for number, (inputs, outputs) in widths.items():
            shapes |= {f"linear{number}.weight": (self.members, inputs, outputs)}
            shapes |= {f"linear{number}.bias": (self.members, outputs)}
        for number, width in (("1", first), ("2", second)):
            for name in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"norm{number}.{name}"] = (self.members, width)
        return shapes


def saved_classifier(shape: ClassifierShape, tensors: Mapping[str, Tensor]) -> PixelClassifier:
    """The classifier with these tensors; `ValueError` where they are not those of `shape`."""
    expected = shape.tensors()
    if expected.keys() != tensors.keys():
        name = sorted(expected.keys() ^ tensors.keys())[0]
        raise ValueError(f"{'no' if name in expected else 'an unknown'} tensor {name} in the classifier")
    wrong = [name for name in expected if tuple(tensors[name].shape) != expected[name]]
    if wrong:
        found = tuple(tensors[wrong[0]].shape)
        raise ValueError(f"the classifier's {wrong[0]} is {found}, not {expected[wrong[0]]}")
    kind = tensors["feature_mean"].dtype
    if not kind.is_floating_point or any(values.dtype != kind for values in tensors.values()):
        raise ValueError("the classifier's tensors are of several kinds of numbers")
    empty = [name for name, values in tensors.items() if has_nan(values)]
    if empty:
        raise ValueError(f"the classifier's {empty[0]} holds values that are no numbers (NaN)")
    classifier = PixelClassifier(shape.channels, shape.num_classes, shape.members, shape.hidden)
    classifier.load_state_dict(dict(tensors))
    return classifier.eval()
