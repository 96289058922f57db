"""Figures that a paper has published, as recipes hold them beside its methods."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import PlainSerializer, PlainValidator

from frugalseg.backbones.ddpm.settings import PRESETS
from frugalseg.support.text import quoted

FORM = re.compile(r"(\d{1,3}(?:\.\d{1,9})?) ?(?:±|\+-) ?(\d{1,3}(?:\.\d{1,9})?)", re.ASCII)
EXAMPLE = "53.7 ± 3.3"

EXPLANATION = (
    "Published: the figures that the recipe gives, mIoU as the paper counts it. Difference: our mean of this mIoU "
    "minus the published mean, in points, and in standard deviations (SD) of the published runs."
)


@dataclass(frozen=True)
class PublishedFigure:
    """A published mIoU, as the paper counts it.

    Attributes:
        mean: in per cent, from 0 to 100.
        std: standard deviation over the published runs, above 0.
    """

    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.std:.1f}"

    def points(self, ours: float) -> float:
        """How many points of mIoU our mean, in per cent, is above the published one."""
        return ours - self.mean

    def deviations(self, ours: float) -> float:
        """The same in standard deviations of the published runs."""
        return (ours - self.mean) / self.std


def figure_of(value: Any) -> PublishedFigure:
    """A figure from the text of a recipe; raises `ValueError` for anything else."""
    if isinstance(value, PublishedFigure):
        return value
    found = FORM.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or not 0 <= float(found[1]) <= 100 or not float(found[2]) > 0:
        raise ValueError(
            f"{quoted(value)} is no published figure; write its mean and its standard deviation in per cent, as in "
            f"{EXAMPLE}"
        )
    return PublishedFigure(float(found[1]), float(found[2]))


def figures_of(value: Any) -> dict[str, PublishedFigure]:
    """The figure of each preset: from one text that counts for all, or from a text for each."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(PRESETS, figure_of(value))
    unknown = [key for key in value if key not in PRESETS]
    if unknown:
        raise ValueError(
            f"no preset {quoted(unknown[0])}; give {EXAMPLE!r} in quotes, or one for {' and '.join(PRESETS)}"
        )
    return {preset: figure_of(each) for preset, each in value.items()}


def as_text(figures: Mapping[str, PublishedFigure]) -> dict[str, str]:
    """The figures as a recipe has them."""

    def digits(number: float) -> str:
        return np.format_float_positional(number, trim="0")  # without an exponent

    return {preset: f"{digits(figure.mean)} ± {digits(figure.std)}" for preset, figure in figures.items()}


Published = Annotated[dict[str, PublishedFigure], PlainValidator(figures_of), PlainSerializer(as_text)]
"""The field of a row: figures by preset."""


def said(figure: PublishedFigure | None, ours: float) -> tuple[str, str]:
    """A published figure, and the difference of our mean mIoU in per cent to it, in words for tables."""
    if figure is None:
        return "–", "–"
    return str(figure), f"{figure.points(ours):+.1f} ({figure.deviations(ours):+.1f} SD)"


def compared(figure: PublishedFigure, ours: float) -> dict[str, Any]:
    """The same as JSON values; shares from 0 to 1, as all other figures in ``results.json``."""
    difference = {"mean": figure.points(ours) / 100, "in_standard_deviations": figure.deviations(ours)}
    return {"published": {"mean": figure.mean / 100, "std": figure.std / 100}, "difference": difference}
