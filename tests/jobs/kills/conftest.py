"""A warm process, and small inputs for every command."""

from pathlib import Path

import pytest
from tests.jobs.kills.trial import Warm, warm_process

DDPM = "--size 8x8 --base-channels 8 --multipliers 1,2 --layers 1 --attention-levels 1"
MADE = {
    "data": "toy -o {} -n 2",
    "photos": "toy -o {} -n 3 --no-masks",
    "model": "fit {data} --backbone colour --native-size 16x16 --protocol quick --members 1 --device cpu -o {}",
    "ddpm": "pretrain ddpm {photos} --steps 2 --batch-size 2 " + DDPM + " --device cpu -o {}",
    "drawing": "fit {data} --checkpoint {ddpm} --timesteps 50 --blocks 1,2 --protocol quick --members 1 --device cpu -o {}",
    "set": "generate {model} --images {photos} --device cpu -o {}",
}
RECIPE = """
title: a test
data: {kind: toy, train: 2, test: 2}
runs: 1
rows:
  - {kind: features, name: colour, backbone: colour, options: {native_size: [16, 16]}, protocol: quick}
"""


@pytest.fixture(scope="session")
def warm(tmp_path_factory):
    with warm_process(tmp_path_factory.mktemp("lives")) as process:
        yield process


@pytest.fixture(scope="session")
def inputs(warm: Warm, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    made = {name: folder / name for name in MADE}
    for name, command in MADE.items():
        life = warm.life(command.format(made[name], **made).split(), folder)
        assert life.code == 0, life.text
    return made
