"""What every kind of row promises: how it is checked, built, and what its results depend on."""

from abc import abstractmethod
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from frugalseg.data.example import Example
from frugalseg.experiments.data import FolderData, ToyData
from frugalseg.experiments.obstacles import Obstacle
from frugalseg.experiments.published import Published
from frugalseg.experiments.validation import Strict
from frugalseg.support.errors import InputError
from frugalseg.support.progress import Progress

if TYPE_CHECKING:
    from frugalseg.classifier.prediction import PixelPrediction
    from frugalseg.metrics.evaluation import Evaluation

UNRECORDED = {"published", "needs"}
"""Fields of rows that the results do not depend on."""


class Method(Protocol):
    """What is compared: a `Segmenter`, a `UNetBaseline`, or anything with these two."""

    def fit(self, dataset: Sequence[Example], *, progress: Progress) -> Any:
        """Learn from the annotated images of a `SegmentationFolder`."""

    def evaluate(
        self, dataset: Sequence[Example], *, see: "Callable[[Example, PixelPrediction], None]", progress: Progress
    ) -> "Evaluation":
        """Segment the images and count; `see` gets each example with its prediction."""


class Row(Strict):
    """A method to compare, as a recipe says it.

    A kind that uses a trained network has the fields ``backbone``, the family, and ``checkpoint``. The networks of the
    recipe and the option ``--checkpoint`` of the command line replace the latter.

    Attributes:
        kind: says which class the row has.
        name: shown in the table. No two rows have the same.
        takes_channels: whether the method sees images of any channels.
        published: figures that a paper has published for the method, by preset, to compare with; one text such as
            ``53.7 ± 3.3`` counts for all presets. The mIoU is meant, as the paper counts it, in per cent.
    """

    takes_channels: ClassVar[bool] = False
    kind: str
    name: str
    published: Published | None = None

    def check(self, rows: Sequence["Row"]) -> None:
        """Check everything that the types of the fields do not, without loading a network.

        Args:
            rows: of the recipe, to which the row may refer.

        Raises:
            InputError: an option is unknown, has the wrong type or is out of range, or a row is missing.
        """

    def checkpoints(self) -> dict[str, str]:
        """The checkpoints that the row names, by their families; none for a kind that uses no trained network.

        Raises:
            InputError: it is not clear which family of a combination a checkpoint is for, or none of them takes it.
        """
        return {}

    @abstractmethod
    def method(self, seed: int, context: "Context") -> Method:
        """The method for one run; see `build`."""

    def obstacle(self, rows: Sequence["Row"], networks: Container[str]) -> Obstacle | None:
        """What stands in the way of the row now, without loading a network; None where nothing does.

        Args:
            rows: of the recipe.
            networks: names of the networks that the recipe trains first.

        Raises:
            InputError: something that the row needs is here, but damaged; or it has another name.
        """
        return None

    def described(self) -> dict[str, Any]:
        """The row as JSON values: all that its results depend on. What the recipe leaves out has its default."""
        return self.model_dump(mode="json", exclude=UNRECORDED)

    def dependencies(self, context: "Context") -> dict[str, Any]:
        """What the results depend on beside row, data and seed, as JSON values; files by their digest."""
        return {"weights": ""}

    def key(self, context: "Context") -> dict[str, Any]:
        """Everything that the results depend on except the seed, as JSON values.

        Records on disk hold it, and folders of labels are named after it, so names and order must stay as they are.
        """
        return {"row": self.described(), "data": context.digest, **self.dependencies(context)}

    @contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Put the row's name at the beginning of the errors that the block raises."""
        try:
            yield
        except InputError as error:
            raise InputError(f"row {self.name!r}: {error}") from None
        except ValueError as error:  # a value that a library refuses
            raise InputError(f"row {self.name!r}: {error}; correct its options") from None


@dataclass(frozen=True)
class Context:
    """What surrounds a row.

    Attributes:
        rows: of the recipe.
        data: of the recipe.
        folder: of the comparison.
        digest: of the annotated images.
        device: where methods run.
    """

    rows: Sequence[Row]
    data: ToyData | FolderData
    folder: Path
    digest: str
    device: str = "cpu"


def build(row: Row, seed: int, context: Context) -> Method:
    """The method of a row for one run.

    Args:
        row: of a recipe.
        seed: of everything random: weights, shuffling, augmentation, the noise of a diffusion model.
        context: what surrounds the row.

    Raises:
        InputError: the checkpoint cannot be loaded, or does not go together with an option; the row is named.
    """
    with row.named_in_errors():
        if context.data.choice() is not None and not row.takes_channels:
            raise InputError(f"a row of kind {row.kind} sees RGB images only; leave it out, or data.channels")
        return row.method(seed, context)
