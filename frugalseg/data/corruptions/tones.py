"""Changes of brightness and saturation, for any number of channels; of three they are those of HSV."""

import numpy as np

from frugalseg.data.corruptions.arrays import Values

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""
LEAST = 1e-9


def grey(image: Values) -> Values:
    """(H, W, 1): the brightness of each pixel; the mean of the channels where they are not three."""
    if image.shape[2] != 3:
        mean: Values = image.mean(2, keepdims=True, dtype=np.float32)
        return mean
    weighted: Values = image @ np.array(LUMA, np.float32)
    return weighted[..., None]


def brighter(image: Values, by: float) -> Values:
    """Each pixel's value, its largest channel, raised; hue and saturation stay. Black becomes gray."""
    value = image.max(2, keepdims=True)
    raised = np.minimum(value + np.float32(by), 1)
    found: Values = np.where(value > 0, image * (raised / np.maximum(value, np.float32(LEAST))), raised)
    return found


def saturated(image: Values, times: float, more: float) -> Values:
    """Each pixel's saturation, multiplied and raised; hue and value stay. Gray has the hue of the first channel."""
    value = image.max(2, keepdims=True)
    span = value - image.min(2, keepdims=True)
    saturation = span / np.maximum(value, np.float32(LEAST))
    wanted = np.clip(saturation * np.float32(times) + np.float32(more), 0, 1)
    below = (value - image) / np.maximum(span, np.float32(LEAST))
    below[..., 1:] = np.where(span > 0, below[..., 1:], 1)
    found: Values = value * (1 - below * wanted)
    return found
