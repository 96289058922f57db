"""fit, generate and pretrain have the options of the chosen family, whatever families there are."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.registry import FAMILIES, Family, generating, pretrainable
from frugalseg.backbones.stylegan2.encoder.pair import save_inverter
from frugalseg.cli import app
from frugalseg.cli.options import flags_of
from frugalseg.cli.pretrain import next_command
from frugalseg.data.images import read_image
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.pretraining.settings import TrainingSettings
from frugalseg.support.options import option
from tests.backbones.stylegan2.inversion.helpers import inverter
from tests.cli.helpers import mistake, run


@dataclass(frozen=True)
class StripeOptions:
    stripes: int = option(3, "The number of stripes.")


@dataclass(frozen=True)
class StripeGeneration:
    truncation: float = option(0.7, "The truncation of the latents.")


@dataclass(frozen=True)
class StripeSettings(TrainingSettings):
    zebra: int = option(1, "The number of zebras.")


class Stripes(Family):
    """A family whose modules are in this file."""

    def load(self, module, name):
        return globals()[name]


@pytest.fixture
def stripes(monkeypatch):
    """A family that is registered after the command line was imported."""
    family = Stripes("stripes", "none", "StripeOptions", "none", "StripeSettings", "StripeGeneration")
    monkeypatch.setitem(FAMILIES, "stripes", family)
    return family


def flags_in_help(*arguments):
    """The options that a command's help lists, and the words below them."""
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    panels, _, below = result.output.rpartition("╯")
    return set(re.findall(r"(?<![\w-])--[a-z-]+", panels)), " ".join(below.split())


def own_flags(settings):
    return {spelling for flag in flags_of(settings, "") for spelling in flag.spellings}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_help_of_fit_shows_the_options_of_the_family_alone(name):
    own = own_flags(FAMILIES[name].options_class())
    others = set().union(*(own_flags(family.options_class()) for family in FAMILIES.values())) - own
    shown, below = flags_in_help("fit", "--backbone", name)
    assert own <= shown
    assert not others & shown
    assert {"--members", "--seed", "--out"} <= shown
    assert f"those of the {name} backbone" in below and all(family in below for family in FAMILIES)


def test_the_help_of_fit_shows_the_options_of_all_parts_of_a_combination():
    shown, below = flags_in_help("fit", "--backbone", "timm+filters")
    assert {"--model", "--layers", "--precision", "--scales", "--kinds"} <= shown and "--timesteps" not in shown
    assert "--backbone timm+filters" in flags_in_help("fit")[1]
    shown, below = flags_in_help("fit", "--backbone", "ddpm+mae")
    assert {"--timesteps", "--ddpm-blocks", "--mae-blocks", "--ddpm-inputs", "--mae-outputs"} <= shown
    assert not {"--blocks", "--inputs", "--outputs", "--precision"} & shown
    assert "with the part's name in front" in below


def test_the_help_of_fit_without_a_family_is_that_of_the_default():
    shown, below = flags_in_help("fit")
    assert "--layers" in shown and "--timesteps" not in shown
    assert "fit --backbone ddpm --help" in below


@pytest.mark.parametrize("family", generating(), ids=lambda family: family.name)
def test_the_help_of_generate_shows_the_options_of_the_family(family):
    assert own_flags(family.generation_class()) <= flags_in_help("generate", "--backbone", family.name)[0]


@pytest.mark.parametrize("family", pretrainable(), ids=lambda family: family.pretrain_name)
def test_the_help_of_pretrain_shows_the_settings_of_the_family(family):
    assert own_flags(family.settings_class()) <= flags_in_help("pretrain", family.pretrain_name)[0]


def test_a_family_may_be_registered_at_any_time(stripes):
    shown, _ = flags_in_help("fit", "--backbone", "stripes")
    assert "--stripes" in shown and "--timesteps" not in shown
    assert "stripes" in flags_in_help("fit")[1]
    shown, below = flags_in_help("generate", "--backbone=stripes")
    assert "--truncation" in shown and "--sampler" not in shown
    assert "generate --backbone ddpm --help" in below
    assert "--zebra" in flags_in_help("pretrain", "stripes")[0]


def test_pretrain_ends_with_a_command_that_the_family_can_run():
    fit = "frugalseg fit DATA --backbone gan_encoder --checkpoint 'my run' -o MODEL"
    assert next_command(FAMILIES["gan_encoder"], Path("my run")) == fit
    # StyleGAN2 alone reads no photographs: its models are fitted to annotated images that it has drawn.
    drawing = "frugalseg generate run --for-annotation 40 -o TO_ANNOTATE"
    assert next_command(FAMILIES["stylegan2"], Path("run")) == drawing


def test_pretrain_knows_a_training_by_its_own_name(monkeypatch, capsys):
    family = Stripes("hide", "none", "StripeOptions", "none", "StripeSettings", pretrain_name="stripes")
    monkeypatch.setitem(FAMILIES, "hide", family)
    assert "--zebra" in flags_in_help("pretrain", "stripes")[0]
    assert "did you mean stripes" in mistake("pretrain", "stripe", "x", "-o", "y", capsys=capsys)
    assert "known: ddpm, swav, mae" in mistake("pretrain", "hide", "x", "-o", "y", capsys=capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["fit", "x", "-o", "y", "--blocks", "1"],
            ["--blocks", "ddpm, mae and alae", "--layers", "fit --backbone ddpm"],
        ),
        (["fit", "x", "-o", "y", "--backbone", "mae", "--timesteps=5"], ["ddpm", "of mae", "--blocks, --inputs"]),
        (["fit", "x", "-o", "y", "--backbone", "colour", "--outputs"], ["ddpm, swav and mae", "--native-size"]),
        (
            ["fit", "x", "-o", "y", "--backbone", "ddpm+mae", "--outputs"],
            ["several parts of ddpm+mae have it; write --ddpm-outputs or --mae-outputs"],
        ),
        (["fit", "x", "-o", "y", "--backbone", "timm+filters", "--blocks", "1"], ["of timm+filters", "--scales"]),
        (["generate", "x", "-o", "y", "-n", "1", "--truncation", "1"], ["and stripes", "--sampler, --sampling-steps"]),
        (["generate", "x", "-o", "y", "-n", "1", "--backbone", "stripes", "--sampler", "ddim"], ["of ddpm"]),
    ],
)
def test_an_option_of_another_family_is_one_line(arguments, words, stripes, capsys):
    line = mistake(*arguments, capsys=capsys)
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "x", "-o", "y", "--backbone", "swaw"], "swaw: not a backbone family; did you mean swav?"),
        (["fit", "--backbone=coulor", "--help"], "did you mean colour?"),
        (["fit", "x", "-o", "y", "--backbone", "gan"], "known: ddpm, swav, mae"),
        (
            ["generate", "x", "-o", "y", "-n", "1", "--backbone", "mae"],
            "mae: not a backbone family that can draw images",
        ),
        (
            ["pretrain", "timm", "x", "-o", "y"],
            "timm: not a backbone family that can be trained from scratch; known: ddpm, swav, mae",
        ),
        (["fit", "x", "-o", "y", "--backbone", "timm+timm"], "'timm+timm' has timm twice; name each family once"),
        (["fit", "x", "-o", "y", "--backbone", "timm+auto"], "no backbone family 'auto'; known: "),
        (["generate", "x", "-o", "y", "-n", "1", "--backbone", "ddpm+timm"], "not a backbone family that can draw"),
        (["pretrain", "ddpm+mae", "x", "-o", "y"], "not a backbone family that can be trained from scratch"),
        (["pretrain", "ddmp", "x", "-o", "y"], "did you mean ddpm? known: ddpm, swav, mae"),
    ],
)
def test_an_unknown_family_is_one_line_with_the_nearest_name(arguments, words, capsys):
    assert words in mistake(*arguments, capsys=capsys)


def test_what_follows_the_separator_is_no_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "no such folder" in mistake("fit", "--backbone", "colour", "-o", "model", "--", "--timesteps", capsys=capsys)


def test_options_reach_the_backbone(tmp_path, capsys):
    write_toy_folder(tmp_path / "data", 2, seed=1)
    options = ("--backbone", "colour", "--native-size", "24x32", "--members", 1)
    code, _, err = run("fit", tmp_path / "data", *options, "-o", tmp_path / "model", capsys=capsys)
    assert code == 0
    assert "seen by the network at 24x32" in err or "28x28" in err


def test_generate_draws_from_a_bare_checkpoint_of_a_named_family(tiny_ddpm, tmp_path, capsys):
    out = tmp_path / "set"
    options = ("--backbone", "ddpm", "--for-annotation", 2, "--sampling-steps", 2, "--first-step", 900)
    code, _, err = run("generate", tiny_ddpm, "-o", out, *options, capsys=capsys)
    assert code == 0, err
    assert len(list((out / "images").glob("*.png"))) == len(list((out / "masks").glob("*.png"))) == 2


def test_the_bare_network_of_an_encoder_draws_as_its_inversion_does(tmp_path, capsys):
    save_inverter(inverter(), tmp_path / "e4e")
    assert "--truncation" in flags_in_help("generate", str(tmp_path / "e4e"))[0]
    draw = ("generate", tmp_path / "e4e", "--for-annotation", 1, "--truncation", 0.5, "--device", "cpu", "-o")
    for number, named in enumerate(((), ("--backbone", "gan_inversion"))):
        code, _, err = run(*draw, tmp_path / str(number), *named, capsys=capsys)
        assert code == 0, err
    first, other = (read_image(tmp_path / str(number) / "images" / "00000000.png") for number in range(2))
    assert (first == other).all()
    named = ("--backbone", "stylegan2")
    assert "is of the family gan_encoder" in mistake(*draw, tmp_path / "2", *named, capsys=capsys)
    load_backbone("gan_encoder", tmp_path / "e4e").save_pretrained(tmp_path / "saved")
    line = mistake("generate", tmp_path / "saved", *draw[2:], tmp_path / "3", capsys=capsys)
    assert "a gan_encoder backbone cannot generate images; gan_inversion, which has the same networks, can" in line


def test_an_option_of_drawing_is_none_of_fit(stripes, tmp_path, capsys):
    line = mistake("fit", tmp_path, "--backbone", "stripes", "--truncation", 1, "-o", tmp_path / "m", capsys=capsys)
    assert "--truncation: says how stripes draws images, which is an option of frugalseg generate" in line


def test_generate_knows_the_family_of_a_fitted_model(stripes, tmp_path, capsys):
    """Its options are those of the model's family; another family's name is refused."""
    model = tmp_path / "model"
    (model / "backbone").mkdir(parents=True)
    (model / "backbone" / "backbone.json").write_text('{"family": "stripes"}')
    out = ("-o", str(tmp_path / "set"), "-n", "1")
    assert "--truncation" in flags_in_help("generate", str(model))[0]
    assert "--sampler: an option of ddpm" in mistake("generate", model, *out, "--sampler", "ddim", capsys=capsys)
    assert "is of the family stripes" in mistake("generate", model, *out, "--backbone", "ddpm", capsys=capsys)


def test_the_family_of_generate_is_not_that_of_its_output_folder(stripes, tmp_path, capsys):
    """Nor that of any other path, though it stands before the model."""
    model, out = tmp_path / "model", tmp_path / "old"
    for folder, family in ((model, "stripes"), (out, "ddpm")):
        folder.mkdir()
        (folder / "backbone.json").write_text(f'{{"family": "{family}"}}')
    for other in ("-o", "--out", "--images", "--classes", "--npz"):
        assert "--truncation" in flags_in_help("generate", other, str(out), str(model))[0]
    line = mistake("generate", "-o", out, model, "-n", 1, "--truncation", 1, "--device", "cpu", capsys=capsys)
    assert f"{model}: not a frugalseg model" in line


def test_a_combination_goes_the_whole_way(tmp_path, capsys):
    data, model = tmp_path / "data", tmp_path / "model"
    write_toy_folder(data, 2, seed=1)
    fit = ("fit", data, "--backbone", "filters+colour", "--members", 1, "--device", "cpu", "-o")
    assert "leave the size out" in mistake(*fit, model, "--size", "64x64", capsys=capsys)
    assert "no part of filters+colour takes a checkpoint" in mistake(*fit, model, "--checkpoint", "x", capsys=capsys)
    code, _, err = run(*fit, model, "--scales", "1", "--native-size", "24x32", "--folds", 2, capsys=capsys)
    assert code == 0, err
    assert "29 features a pixel" in err
    saved = [load_saved_backbone(model / "backbone" / name) for name in ("filters", "colour")]
    assert saved[0].scales == (1.0,) and saved[1].native_size == (24, 32)
    code, out, err = run("evaluate", model, data, capsys=capsys)
    assert code == 0 and "mIoU" in out, err
    assert run("predict", model, data / "images", "-o", tmp_path / "masks", capsys=capsys)[0] == 0
    line = mistake("fit", data, "--checkpoint", model, "-o", tmp_path / "other", capsys=capsys)
    assert "holds a combination, filters+colour; a checkpoint is a network of one family" in line
    line = mistake("generate", model, "-n", 1, "-o", tmp_path / "set", capsys=capsys)
    assert "a filters+colour backbone cannot generate images; those of the families ddpm" in line
