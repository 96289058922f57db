"""How a network grows in a training: which resolution a step is of, and how far it has faded in."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """What a step trains.

    Attributes:
        level: of the resolution; 0 is 4 x 4 pixels.
        blend: in (0, 1]: the share of this resolution, beside that of the one below.
        begins: whether the step is the first of its resolution.
    """

    level: int
    blend: float
    begins: bool


@dataclass(frozen=True)
class Growth:
    """A training that begins with small images and doubles them again and again.

    Every resolution but the last gets equally many steps. In the first half of them it fades in, along half a wave of
    the cosine as published; the last one does so in as many steps. The first resolution is there from the beginning.

    Attributes:
        first, last: levels.
        steps: until the last resolution begins.
    """

    first: int
    last: int
    steps: int

    def at(self, step: int) -> Stage:
        """What a step trains; steps count from 0."""
        if self.first == self.last:
            return Stage(self.last, 1.0, step == 0)
        stages = self.last - self.first
        length = self.steps // stages
        passed = min(step // length, stages) if length else stages
        within = step - passed * length
        fading = length // 2 if passed else 0
        blend = 0.5 - 0.5 * math.cos(math.pi * (within + 1) / (fading + 1)) if within < fading else 1.0
        return Stage(self.first + passed, blend, within == 0)
