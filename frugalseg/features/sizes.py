"""Sizes of images that fit a network; light, for settings and the command line read it."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def nearest_size(size: tuple[float, float], stride: int) -> Size:
    """The nearest size whose sides are multiples of `stride`, and at least `stride`."""
    height, width = (max(1, round(side / stride)) * stride for side in size)
    return height, width
