"""What a choice of steps, blocks or layers has come to, in words and as JSON values."""

from dataclasses import dataclass
from typing import Any

from frugalseg.selection.choice import Score
from frugalseg.selection.places import Places, words

WITHOUT = "without choosing"
"""What the backbone reads by itself, for tables."""
SURE = 0.95
"""Certainty from which on a choice replaces the preset: of many scores of few images, the best one is partly luck."""


@dataclass(frozen=True)
class Step:
    """One step of the choice.

    Attributes:
        what: that was added, such as ``blocks 6``.
        places: after it.
        score: of these places.
    """

    what: str
    places: Places
    score: Score


@dataclass(frozen=True)
class TapChoice:
    """What was chosen.

    Attributes:
        places: the options to use.
        steps: how they were found.
        preset: the score of the family's own choice on the same folds.
        final: the scores of what was found and of the preset, on other folds.
        certainty: how sure it is, in [0, 1], that what was found is better than the preset; see `SURE`.
        images: how many annotated images were compared, and of how many.
    """

    places: Places
    steps: tuple[Step, ...]
    preset: Score
    final: tuple[Score, Score]
    certainty: float
    images: tuple[int, int]

    @property
    def improves(self) -> bool:
        """Whether what was found is surely better than the preset, which is used otherwise."""
        return self.certainty >= SURE

    def __str__(self) -> str:
        rows = [*((step.what, step.score) for step in self.steps), (WITHOUT, self.preset)]
        rows += [("chosen, on other folds", self.final[0]), (f"{WITHOUT}, on other folds", self.final[1])]
        width = max(len(name) for name, _ in rows)
        table = [f"{name:{width}}  mIoU {100 * score.miou:5.1f}" for name, score in rows]
        which = words(self.places) + ("" if self.improves else f", as {WITHOUT}: nothing was surely better")
        compared = "all" if self.images[0] == self.images[1] else f"{self.images[0]} of {self.images[1]}"
        return "\n".join([*table, f"chosen: {which} ({compared} annotated images compared)"])

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "options": {name: list(values) for name, values in self.places.items()},
            "improves": self.improves,
            "steps": [{"what": s.what, **vars(s.score)} for s in self.steps],
            "certainty": self.certainty,
            "preset": vars(self.preset),
            "final": [vars(score) for score in self.final],
            "images": list(self.images),
        }
