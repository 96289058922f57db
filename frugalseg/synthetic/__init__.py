"""Labelled images without an annotator: generated or photographed, labelled by a model, stored, read and filtered."""

from frugalseg.synthetic.generation import generate
from frugalseg.synthetic.reader import Sample, SyntheticSet
from frugalseg.synthetic.sources import GeneratedImages, Photographs, generator_of

__all__ = ["GeneratedImages", "Photographs", "Sample", "SyntheticSet", "generate", "generator_of"]
