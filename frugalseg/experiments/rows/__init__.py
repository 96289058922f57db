"""The kinds of rows that a recipe may have, one file each. To add one: write its file, and name its class here."""

from typing import Annotated, get_args

from pydantic import Field

from frugalseg.experiments.rows.base import Context, Method, Row, build
from frugalseg.experiments.rows.features import FeatureRow
from frugalseg.experiments.rows.student import StudentRow
from frugalseg.experiments.rows.unet import UNetRow

__all__ = ["KINDS", "AnyRow", "Context", "FeatureRow", "Method", "Row", "StudentRow", "build"]

AnyRow = Annotated[FeatureRow | UNetRow | StudentRow, Field(discriminator="kind")]

KINDS: dict[str, type[Row]] = {
    get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in get_args(get_args(AnyRow)[0])
}
"""The classes of rows by kind."""
