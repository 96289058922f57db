"""A process that runs commands, and their inputs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.golden import golden
from tests.jobs.download.mirror import serving
from tests.jobs.download.published import synthetic_set
from tests.jobs.kills.commands import COMMANDS, MADE, RECIPE
from tests.jobs.kills.trial import Trial, Warm, warm_process


@pytest.fixture(scope="package")
def warm() -> Iterator[Warm]:
    with warm_process() as process:
        yield process


class Inputs(dict[str, Path]):
    """Each is made as it is asked for, but for the address of a server of published files."""

    def __init__(self, warm: Warm, folder: Path) -> None:
        self.warm, self.folder = warm, folder

    def __missing__(self, name: str) -> Path:
        path = self[name] = self.folder / name
        if name == "recipe":
            path.write_text(RECIPE, encoding="utf-8")
        elif name == "published":
            described = golden.load("guided_diffusion_tiny")
            torch.save({key: torch.from_numpy(value) for key, value in golden.tensors(described).items()}, path)
        else:
            life = self.warm.life([*MADE[name].format_map(self).split(), "-o", str(path)], self.folder)
            assert life.code == 0, life.text
        return path


@pytest.fixture(scope="package")
def inputs(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inputs]:
    with serving() as mirror:
        mirror.files |= {
            "synthetic-datasets/gan/cat_15.tar.gz": synthetic_set("cat_15"),
            "models/mae_checkpoints/lsun_cat.pth": bytes(1000),
        }
        found = Inputs(warm, tmp_path_factory.mktemp("inputs"))
        found["mirror"] = mirror.base  # type: ignore[assignment]
        yield found


@pytest.fixture
def trial(warm: Warm, inputs: Inputs, tmp_path: Path) -> Callable[[str], Trial]:
    """A trial of the command of a name."""
    return lambda name: Trial(warm, COMMANDS[name], inputs, tmp_path)
