"""Pretraining with several networks that take turns: steps, averages, resuming, several processes."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalseg.pretraining.settings import AlternatingSettings
from frugalseg.support.errors import InputError
from frugalseg.training.averaging import half_life_decay
from frugalseg.training.gradients import clipped, frozen, norm_of
from tests.pretraining.two_networks import INTERVAL, SETTINGS, TwoNetworks, train

ROOT = Path(__file__).parents[2]


class Killed(Exception):
    pass


class Watched(TwoNetworks):
    """Remembers what its steps did, and fails before a step."""

    def __init__(self, fails_at: int | None = None, settings: AlternatingSettings = SETTINGS) -> None:
        super().__init__(settings)
        self.fails_at = fails_at
        self.steps: list[int] = []
        self.weights: list[Tensor] = []

    def updates(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        if batch["step"] == self.fails_at:
            raise Killed
        self.steps.append(batch["step"])
        terms = super().updates(batch)
        self.weights.append(self.generator[0].weight.detach().clone())
        return terms


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "run" / "training" / "last.ckpt", weights_only=True)


def log(folder: Path) -> str:
    return (folder / "run" / "training" / "log.txt").read_text()


def same(one: Any, other: Any) -> bool:
    """Whether nested values agree bit by bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Watched]:
    """An uninterrupted run of twelve steps."""
    folder, module = tmp_path_factory.mktemp("straight"), Watched()
    assert train(folder, module)
    return folder, module


def test_a_batch_of_several_updates_is_one_step(straight: tuple[Path, Watched]) -> None:
    folder, module = straight
    assert module.steps == list(range(12)) and state(folder)["global_step"] == 12
    moments = state(folder)["optimizer_states"]
    # Of the critic's 12 + 3 + 12 updates two were left out in step 3. Penalties leave the last bias alone.
    assert Counter(int(each["step"]) for each in moments[1]["state"].values()) == {25: 3, 22: 1}
    assert {int(each["step"]) for each in moments[0]["state"].values()} == {24}
    assert [group["lr"] for each in moments for group in each["param_groups"]] == [1e-2, 2e-2 * 0.5**11]


def test_the_average_has_its_closed_form_and_the_other_network_none(straight: tuple[Path, Watched]) -> None:
    """The half-life is 40 images; of n batches of 4 it is at most 0.05 * 4 * n, which stays below 40 here."""
    folder, module = straight
    expected = module.weights[0]
    for n, weight in enumerate(module.weights[1:], start=2):
        kept = 0.5 ** (4 / min(40, 0.05 * 4 * n))
        expected = kept * expected + (1 - kept) * weight
    saved = state(folder)
    torch.testing.assert_close(saved["state_dict"]["generator.0.weight"], expected, atol=1e-7, rtol=1e-6)
    for name, value in saved["state_dict"].items():
        if not name.startswith(("generator", "idle")):
            assert torch.equal(value, saved["current_model_state"][name])
    assert saved["state_dict"]["mean_score"] != 0


def test_the_half_life_is_reached() -> None:
    decay = half_life_decay(images=80, batch_size=8)
    assert decay(1000) ** 10 == pytest.approx(0.5)
    assert decay(9) == pytest.approx(0.5 ** (8 / 4))  # after 80 images


@pytest.mark.parametrize("fails_at", [5, 8])
def test_a_killed_run_continues_bit_by_bit(straight: tuple[Path, Watched], tmp_path: Path, fails_at: int) -> None:
    with pytest.raises(Killed):
        train(tmp_path, Watched(fails_at))
    again = Watched()
    assert train(tmp_path, again)
    assert again.steps == list(range(5, 12))
    one, other = state(tmp_path), state(straight[0])
    for part in ("global_step", "state_dict", "current_model_state", "averaging_state", "optimizer_states"):
        assert same(one[part], other[part]), part
    facts = [json.loads((folder / "run/training/progress.json").read_text()) for folder in (tmp_path, straight[0])]
    assert facts[0]["step_flops"] == facts[1]["step_flops"]


def test_the_operations_of_unlike_steps_are_averaged(straight: tuple[Path, Watched], tmp_path: Path) -> None:
    """A penalty comes every four steps: three of the twelve."""
    flops = []
    for steps in (1, 2):
        assert train(tmp_path / str(steps), TwoNetworks(replace(SETTINGS, steps=steps)))
        flops.append(json.loads((tmp_path / str(steps) / "run/training/progress.json").read_text())["step_flops"])
    with_penalty, without = flops[0], 2 * flops[1] - flops[0]
    # 4 images through 48 x 8 and 8 x 1: forward, backward to the pixels, and from there to both weights.
    assert with_penalty - without >= 4 * 2 * (48 * 8) * 4
    mean = round(without + (with_penalty - without) / INTERVAL)
    assert json.loads((straight[0] / "run/training/progress.json").read_text())["step_flops"] == mean
    assert f"{mean / 1e9:.2f} GFLOP a step" in log(straight[0])


def test_the_log_tells_all_terms(straight: tuple[Path, Watched]) -> None:
    last = log(straight[0]).splitlines()[-1]
    assert "step 12/12" in last and "critic 1." in last and "penalty 0." in last


def test_gradients_are_clipped_together() -> None:
    gradients = [torch.tensor([3.0]), None, torch.tensor([[4.0]])]
    assert norm_of(gradients) == 5
    assert clipped(gradients, 10.0)[0] == 3
    small = clipped(gradients, 1.0)
    assert small[1] is None and norm_of(small) == pytest.approx(1.0)


def test_frozen_networks_let_gradients_pass_and_thaw_again() -> None:
    module = TwoNetworks()
    module.critic[0].bias.requires_grad_(False)  # it was before, and stays so
    noise = torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match="mine"), frozen(module.critic):
        module.critic(module.generator(noise)).sum().backward()
        raise RuntimeError("mine")
    assert module.critic[0].weight.grad is None and module.generator[0].bias.grad is not None
    asking = {name for name, weight in module.critic.named_parameters() if weight.requires_grad}
    assert "0.weight" in asking and "0.bias" not in asking


def test_half_precision_with_scaled_losses_is_refused() -> None:
    with pytest.raises(InputError, match="give bf16 or fp32"):
        replace(SETTINGS, precision="fp16")


def test_bf16_leaves_weights_and_their_states_in_float32(tmp_path: Path) -> None:
    assert train(tmp_path, TwoNetworks(replace(SETTINGS, steps=2, precision="bf16")))
    saved = state(tmp_path)
    moments = [value for each in saved["optimizer_states"][1]["state"].values() for value in each.values()]
    assert {value.dtype for value in [*moments, *saved["current_model_state"].values()]} == {torch.float32}
    assert saved["global_step"] == 2


@pytest.mark.slow
def test_two_processes_learn_what_one_does(straight: tuple[Path, Watched], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.pretraining.two_networks", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 process(es)" in log(tmp_path)
    one, two = state(straight[0]), state(tmp_path)
    for part in ("state_dict", "current_model_state"):
        for name, value in one[part].items():
            torch.testing.assert_close(two[part][name], value, atol=1e-5, rtol=1e-4, msg=name)
