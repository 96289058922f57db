"""A family outside the package whose network draws pictures and cannot look at any, as those of DatasetGAN."""

from frugalseg.backbones.registry import Family

FAMILY = Family("paint", "PaintBackbone", "PaintOptions", generation="PaintGeneration", package=__name__)
