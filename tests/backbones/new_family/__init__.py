"""A family outside the package: everything that a new one needs, and nothing else in the project knows of it.

Random convolutions are its network. It draws pictures of smooth color with grain on them, and the maps of the pass that
draws one are those of the picture before the grain: the labels that come from them show where they come from.
"""

from frugalseg.backbones.registry import Family

FAMILY = Family("grain", "GrainBackbone", "GrainOptions", generation="GrainGeneration", package=__name__)
