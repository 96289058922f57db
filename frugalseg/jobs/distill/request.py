"""What a call of `distill` asks for."""

from dataclasses import dataclass, field
from pathlib import Path

from frugalseg.students.settings import PROTOCOLS, StudentSettings


@dataclass(frozen=True)
class DistillRequest:
    """A call of `distill`.

    Attributes:
        samples: what `generate` wrote, a published ``.npz``, or a data folder of annotated images.
        validation: data folder that chooses the best round.
        test: data folder that the finished student is evaluated on, once; None leaves that out.
        settings: of the student.
        drop: share of the samples, the most uncertain, to leave out; a data folder has no uncertainties and keeps all.
        published_filter: drop as the published code does, see `frugalseg.synthetic.filter.PUBLISHED_STRAY`.
        onnx: also write ``student.onnx``.
        device: where to run. It chooses the precision where `settings` leave that open; a training that is under way
            goes on elsewhere in the same precision alone.
        workers: processes that read samples.
    """

    samples: Path
    validation: Path
    test: Path | None = None
    settings: StudentSettings = field(default_factory=lambda: PROTOCOLS["default"])
    drop: float = 0.1
    published_filter: bool = False
    onnx: bool = False
    device: str = "cpu"
    workers: int = 0
