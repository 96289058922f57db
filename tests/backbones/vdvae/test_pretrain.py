"""Pretraining a VDVAE of a few thousand weights: what every family has to do, and what is its own."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from frugalseg.backbones import load_backbone
from frugalseg.backbones.vdvae.pretrain import VDVAEPretraining
from frugalseg.backbones.vdvae.settings import VDVAEPretrainSettings
from frugalseg.backbones.vdvae.sizes import nearest_size, usual_layouts
from frugalseg.jobs.pretrain import pretrain
from frugalseg.pretraining.choice import choice
from frugalseg.pretraining.machine import Machine
from frugalseg.support.errors import WorkError
from frugalseg.training.averaging import AveragedWeights
from tests.data.helpers import save_image
from tests.pretraining.battery import OPTIONS, PretrainingChecks, log

TINY = VDVAEPretrainSettings(
    image_size=(12, 8), steps=12, batch_size=4, width=8, blocks=1, zdim=2, mixtures=2, ema_decay=0.5
)

CPU = Machine(gpu=False)


class TestVDVAEPretraining(PretrainingChecks):
    family = "vdvae"
    tiny = TINY
    pictures = ("reconstructions", "samples")
    wrong = (
        ({"image_size": (13, 8)}, "cannot be halved as often as a network of this size needs it; give 12x8"),
        ({"width": 3}, "width is 3"),
        ({"blocks": 0}, "blocks is 0"),
        ({"bits": 6}, "bits is 6; give 5 or 8"),
        ({"encoder_layout": "12x1,12d2,6x1,6d2,3x1"}, "the encoder ends with 3 rows and the decoder begins with 6"),
        ({"decoder_layout": "6x1,12m6,24m12"}, "both must be the 12 rows"),
        (
            {"encoder_layout": "12x1,12d4,3x1", "decoder_layout": "3x1,12m3", "image_size": (12, 6), "blocks": None},
            "cannot be pooled to 3",
        ),
        ({"skip_above": 0.0}, "skip_above is 0"),
        ({"encoder_layout": ""}, "'' is no block"),
        (
            {"encoder_layout": "12x2,12d2,6x1", "decoder_layout": "6x2,12m6", "blocks": 3},
            "blocks is 3, but encoder_layout and decoder_layout say themselves how many there are",
        ),
    )

    def test_the_result_draws_images(self, straight: Path) -> None:
        backbone = load_backbone("vdvae", straight, decoder_blocks=(1,))
        drawn = backbone.generator(None).draw([0, 1])
        assert drawn.images.shape == (2, 3, 12, 8) and drawn.maps is not None
        assert "rate 0." in log(straight)


@pytest.mark.parametrize(
    ("size", "nearest", "layouts"),
    [
        ((32, 32), (32, 32), ("32x2,32d2,16x2,16d2,8x2,8d2,4x2,4d4,1x2", "1x2,4m1,4x1,8m4,8x1,16m8,16x1,32m16,32x1")),
        ((49, 31), (48, 32), ("48x2,48d2,24x2,24d2,12x2,12d2,6x2", "6x2,12m6,12x1,24m12,24x1,48m24,48x1")),
        ((18, 15), (16, 16), ("16x2,16d2,8x2,8d2,4x2,4d4,1x2", "1x2,4m1,4x1,8m4,8x1,16m8,16x1")),
        ((7, 5), (7, 5), ("7x2", "7x2")),
    ],
)
def test_networks_follow_the_size(size: tuple[int, int], nearest: tuple[int, int], layouts: tuple[str, str]) -> None:
    assert nearest_size(size) == nearest
    assert usual_layouts(nearest, 2) == layouts


def test_what_is_chosen(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", np.zeros((50, 31, 3), np.uint8))
    found = VDVAEPretrainSettings().chosen_for([tmp_path / "a.png"])
    assert (found.image_size, found.width, found.blocks) == ((48, 32), 128, 3)
    assert found.chosen_for([]) == found
    small = VDVAEPretrainSettings(image_size=(64, 64)).chosen_for([], Machine(gpu=False))
    assert (small.width, small.blocks, small.shape.resolutions) == (64, 2, (64, 32, 16, 8, 4, 1))


def test_layouts_take_the_place_of_a_number_of_blocks() -> None:
    given = VDVAEPretrainSettings(
        image_size=(12, 8), precision="fp32", encoder_layout="12x2,12d2,6x1", decoder_layout="6x2,12m6"
    )
    chosen = given.chosen_for([], CPU)
    assert (chosen.blocks, chosen.encoder_layout, chosen.decoder_layout) == (None, "12x2,12d2,6x1", "6x2,12m6")
    assert chosen.chosen_for([]) == chosen
    assert str(choice(given, chosen, CPU)).endswith(": --batch-size 16 --width 64")
    half = replace(given, decoder_layout=None, blocks=3).chosen_for([], CPU)
    assert (half.blocks, half.encoder_layout, half.decoder_layout) == (3, "12x2,12d2,6x1", "6x3,12m6,12x2")
    assert half.chosen_for([]) == half
    # Nothing is left to be told where nothing else was open.
    width = replace(given, batch_size=4, width=8)
    assert choice(width, width.chosen_for([], CPU), CPU) is None


def module(**changes: Any) -> VDVAEPretraining:
    return VDVAEPretraining(replace(TINY, **changes).chosen_for([]))


def pixels(count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 12, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_random_weights_are_those_of_the_official_code() -> None:
    network = module(blocks=2).network
    fresh = VDVAEPretraining(replace(TINY, blocks=2, seed=1).chosen_for([])).network
    assert not torch.equal(fresh.encoder.in_conv.weight, network.encoder.in_conv.weight)
    assert all(value.eq(0).all() for name, value in network.state_dict().items() if name.endswith("bias"))
    blocks = network.decoder.dec_blocks
    assert len(blocks) == 4 and len(network.encoder.enc_blocks) == 5
    assert all(block.prior.c4.weight.eq(0).all() and block.enc.c4.weight.std() > 0 for block in blocks)
    # Weights of torch are uniform in +-1/sqrt(fan in); what is added to a state is scaled by the blocks of its side.
    for scaled, fan_in, count in (
        (blocks[0].z_proj, 2, 4),
        (blocks[3].resnet.c4, 2, 4),
        (network.encoder.enc_blocks[1].c4, 2, 5),
        (blocks[0].enc.c1, 16, 1),
    ):
        assert 0.6 < scaled.weight.abs().max() / (fan_in * count) ** -0.5 <= 1


def test_checkpointing_gives_the_same_gradients() -> None:
    found = []
    for checkpointing in (False, True):
        made = module(checkpointing=checkpointing)
        distortion, rate = made.losses(pixels(), made.noise([1, 2, 3]))
        (distortion + rate).mean().backward()
        found.append([distortion, rate, *(value.grad for value in made.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_five_bits_are_easier() -> None:
    eight, five = module(), module(bits=5)
    noise = eight.noise([1, 2, 3])
    gap = eight.losses(pixels(), noise)[0] - five.losses(pixels(), noise)[0]
    assert (gap - np.log(8)).abs().max() < 0.2


class Spoils(VDVAEPretraining):
    """Its gradients are too large in the third step, and neither loss nor gradients are numbers in the sixth.

    After each step, it keeps copies of its weights, of their average and of what the optimizer knows of the first one.
    """

    seen: ClassVar[list[list[torch.Tensor]]] = []

    def training_step(self, batch: dict[str, Any], index: int) -> torch.Tensor:
        return super().training_step(batch, index) * {2: 1e6, 5: float("nan")}.get(batch["step"], 1.0)

    def on_train_batch_end(self, *_: Any) -> None:
        average = next(each.average for each in self.trainer.callbacks if isinstance(each, AveragedWeights))
        kept = [torch.nn.utils.parameters_to_vector(each.parameters()) for each in (self, average)]
        first = next(self.parameters())
        self.seen.append([*(each.clone() for each in kept), self.trainer.optimizers[0].state[first]["exp_avg"].clone()])


def test_steps_with_impossible_gradients_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count as steps and change nothing: neither weights nor averages nor the optimizer. Runs resume there."""
    for i in range(4):
        save_image(tmp_path / "photos" / f"{i}.png", np.full((24, 16, 3), 60 * i, np.uint8))
    monkeypatch.setattr("frugalseg.backbones.vdvae.pretrain.VDVAEPretraining", Spoils)
    Spoils.seen.clear()
    settings = replace(TINY, steps=8, precision="fp32")
    arguments = ("vdvae", tmp_path / "photos")
    assert pretrain(*arguments, tmp_path / "straight", settings, replace(OPTIONS, log_steps=1))
    changed = [[not torch.equal(a, b) for a, b in zip(*pair, strict=True)] for pair in pairwise(Spoils.seen)]
    assert changed == [[step not in (2, 5)] * 3 for step in range(1, 8)]
    said = log(tmp_path / "straight")
    assert said.count("all steps since the line before were skipped") == 2 and "step 8/8" in said
    for _ in range(3):
        assert not pretrain(*arguments, tmp_path / "run", settings, replace(OPTIONS, max_minutes=1e-9))
    assert pretrain(*arguments, tmp_path / "run", settings, OPTIONS)
    assert all(torch.equal(a, b) for a, b in zip(Spoils.seen[7], Spoils.seen[-1], strict=True))


def test_a_training_that_learns_nothing_ends() -> None:
    made = module(skip_above=1e-9)
    optimizer = made.configure_optimizers()["optimizer"]
    for value in made.parameters():
        value.grad = torch.ones_like(value)
    made.configure_gradient_clipping(optimizer)
    assert made.skipped and all(value.grad is None for value in made.parameters())
    made.bias = torch.nn.Parameter(torch.ones(1))
    for _ in range(98):
        made.bias.grad = torch.ones(1)
        made.configure_gradient_clipping(optimizer)
    made.bias.grad = torch.ones(1)
    with pytest.raises(WorkError, match="lower learning rate, or a larger skip_above"):
        made.configure_gradient_clipping(optimizer)


def test_gradients_are_clipped() -> None:
    made = module(gradient_clip=2.0, skip_above=1e6)
    for value in made.parameters():
        value.grad = torch.ones_like(value)
    made.configure_gradient_clipping(made.configure_optimizers()["optimizer"])
    norm = torch.stack([value.grad.norm() for value in made.parameters()]).norm()
    assert not made.skipped and norm == pytest.approx(2, rel=1e-4)


def test_learning_lowers_the_loss() -> None:
    """Of ramps in two directions."""
    ramp = torch.linspace(0, 255, 8).round().byte().expand(8, 8)
    images = torch.stack([ramp, ramp.T])[:, None].expand(-1, 3, -1, -1).contiguous()
    made = module(image_size=(8, 8), learning_rate=5e-3)
    optimizer, before = made.configure_optimizers()["optimizer"], None
    for step in range(40):
        distortion, rate = made.losses(images, made.noise([2 * step, 2 * step + 1]))
        before = before or (distortion + rate).mean().item()
        optimizer.zero_grad()
        (distortion + rate).mean().backward()
        made.configure_gradient_clipping(optimizer)
        optimizer.step()
    assert (distortion + rate).mean() < before - 1
