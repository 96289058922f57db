"""What a user sets: which filters, at which scales."""

from dataclasses import dataclass

from frugalseg.support.errors import InputError
from frugalseg.support.options import check_ranges, option
from frugalseg.support.ranges import Range

KINDS = {"gaussian": 1, "laplacian": 1, "gradient": 1, "difference": 1, "structure": 2, "hessian": 2}
"""The filters by name, with the maps that each gives for an image channel and a scale."""

SCALES = (0.7, 1.0, 1.6, 3.5, 5.0)
"""Those of ilastik at which it offers every filter, but for the 10, which costs most and gained nothing
where it was tried (``docs/filters.md``)."""

OUTER = 2.0
"""A texture is told by the average over several of its grains; ilastik's 0.5 averages over less than one."""

SMALLEST, LARGEST = 0.3, 50.0
"""Below, a filter sees a single pixel; above, its kernels are wider than the windows."""


@dataclass(frozen=True)
class FilterOptions:
    """What `load_backbone` takes for ``filters``.

    Attributes:
        scales: standard deviations of the Gaussians in pixels, from 0.3 to 50.
        kinds: names of the filters, keys of `KINDS`.
        outer: the scale at which the structure tensor is averaged, relative to that of its gradients, from 0.1 to 10.
    """

    scales: tuple[float, ...] = option(
        SCALES,
        "The scales of the filters: standard deviations in pixels.",
        within=Range(SMALLEST, LARGEST, whole=False),
    )
    kinds: tuple[str, ...] = option(tuple(KINDS), f"The filters: any of {', '.join(KINDS)}.")
    outer: float = option(
        OUTER,
        "The scale of the structure tensor's average, relative to that of its gradients.",
        within=Range(0.1, 10, whole=False),
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        scales, kinds = self.scales, self.kinds
        names = {f"{scale:g}" for scale in scales}  # of the taps
        if not scales or len(names) < len(scales):
            raise InputError(f"scales {listed(scales)}: give one or more, each once")
        if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
            raise InputError(f"kinds {listed(kinds)}: give one or more of {', '.join(KINDS)}, each once")


def listed(values: tuple[object, ...]) -> str:
    """Values as a user writes them."""
    return ",".join(map(str, values)) or "empty"
