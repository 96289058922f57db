"""A student from labelled samples: everything checked first, trained with a state to go on from, tested once, saved."""

from frugalseg.jobs.distill.request import DistillRequest
from frugalseg.jobs.distill.run import distill_folder

__all__ = ["DistillRequest", "distill_folder"]
