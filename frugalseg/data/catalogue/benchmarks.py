"""The six benchmarks of the paper: their images, their classes, and the networks that were trained on such images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CLASSES = Path(__file__).parent / "classes"
"""A ``classes.json`` for each benchmark: names, colors and ignored label of the published code."""

TRAIN, TEST, GENERATED = "train", "test", "ddpm"
"""The parts of a benchmark, as they are named after a slash: ``cat_15/test``."""


@dataclass(frozen=True)
class Part:
    """Some annotated images of a benchmark.

    Attributes:
        folder: where they lie in the benchmark's folder.
        images: how many there are. As in the published code, they are the first ones by name.
    """

    folder: str
    images: int


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of the paper.

    Attributes:
        name: of its folder.
        title: in the paper's table.
        classes: how many are counted; an ignored background is not among them.
        train, test: real annotated images.
        generated: annotated images that the DDPM has drawn; 0 where there are none.
        networks: name of the checkpoints that were trained on unlabeled images of this kind.
        images: whose photographs they are, and on what terms.
    """

    name: str
    title: str
    classes: int
    train: int
    test: int
    generated: int
    networks: str
    images: str

    @property
    def parts(self) -> dict[str, Part]:
        """The parts by name; the first one is the benchmark's own training set."""
        found = {TRAIN: Part("real/train", self.train), TEST: Part("real/test", self.test)}
        return {**found, GENERATED: Part("ddpm", self.generated)} if self.generated else found

    @property
    def classes_file(self) -> Path:
        """The ``classes.json`` of the published code's names, colors and ignored label."""
        return CLASSES / f"{self.name}.json"

    @property
    def what(self) -> str:
        """In words."""
        generated = f", {self.generated} generated" if self.generated else ""
        return f"{self.classes} classes: {self.train} train{generated}, {self.test} test"


LSUN = "LSUN: research"
FFHQ = "FFHQ: CC BY-NC-SA 4.0"
CELEBA = "CelebAMask-HQ: non-commercial"
ADE = "ADE20K: non-commercial"

BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("bedroom_28", "Bedroom-28", 28, 40, 20, 40, "lsun_bedroom", LSUN),
        Benchmark("ffhq_34", "FFHQ-34", 34, 20, 20, 20, "ffhq", FFHQ),
        Benchmark("cat_15", "Cat-15", 15, 30, 20, 30, "lsun_cat", LSUN),
        Benchmark("horse_21", "Horse-21", 21, 30, 30, 30, "lsun_horse", LSUN),
        Benchmark("celeba_19", "CelebA-19", 19, 20, 500, 0, "ffhq", CELEBA),
        Benchmark("ade_bedroom_30", "ADE-Bedroom-30", 30, 50, 650, 0, "lsun_bedroom", ADE),
    )
}
"""Every benchmark by its name (section 4.1 of the paper)."""


def part_at(folder: Path) -> tuple[Benchmark, Part] | None:
    """The part of a benchmark that a folder is by its name, as in ``.../cat_15/real/train``; None for other folders."""
    places: Sequence[str] = folder.absolute().parts
    for depth in (2, 3):
        benchmark = BENCHMARKS.get(places[-depth]) if len(places) >= depth else None
        for part in benchmark.parts.values() if benchmark else ():
            if part.folder == "/".join(places[1 - depth :]):
                assert benchmark is not None
                return benchmark, part
    return None
