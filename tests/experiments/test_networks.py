"""Recipes that pretrain: what is trained, what is left alone, what is refused before anything runs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pytest
from safetensors.torch import load_file

from frugalseg.backbones.ddpm.settings import DDPMPretrainSettings
from frugalseg.backbones.registry import FAMILIES
from frugalseg.data.toy.dataset import write_toy_folder
from frugalseg.experiments.comparison import run_comparison
from frugalseg.experiments.dry_run import dry_run
from frugalseg.experiments.networks import TrainingFacts, training_facts, with_networks
from frugalseg.experiments.plan import Plan
from frugalseg.experiments.recipe import Recipe, parse_recipe, replaced, training_order
from frugalseg.pretraining.machine import Machine
from frugalseg.support.errors import InputError
from frugalseg.support.options import option
from frugalseg.support.progress import bars
from frugalseg.training.run_folder import RunFolder

SETTINGS = {"image_size": [8, 8], "steps": 2, "batch_size": 2, "base_channels": 8, "multipliers": [1, 2], "layers": 1}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_toy_folder(tmp_path / "data" / "train", 2, 0, size=32)
    write_toy_folder(tmp_path / "data" / "test", 2, 1, size=32)
    write_toy_folder(tmp_path / "data" / "unlabeled", 3, 2, size=32, masks=False)
    return tmp_path / "data"


def recipe(data: Path, **network: Any) -> Recipe:
    few = {
        "kind": "features",
        "segmenter": {"members": 2, "small_region": 1, "protocol": {"steps": 5, "batch_size": 16}},
    }
    row = {**few, "name": "DDPM", "backbone": "ddpm", "checkpoint": "mine", "options": {"timesteps": [10]}}
    mine = {"family": "ddpm", "images": ["unlabeled", "train/images"], "settings": SETTINGS} | network
    colour = {**few, "name": "colour", "backbone": "colour", "options": {"native_size": [32, 32]}}
    return parse_recipe(
        {
            "title": "t",
            "data": {"kind": "folder", "path": str(data)},
            "rows": [row, colour],
            "runs": 1,
            "networks": {"mine": mine, "unused": mine},
        }
    )


def test_a_named_network_is_trained_once_and_compared(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with bars() as progress:
        result = run_comparison(recipe(data), out, progress=progress)
    place = out / "networks" / "mine"
    assert not (out / "networks" / "unused").exists()
    log = (place / "training" / "log.txt").read_text()
    assert "5 images" in log
    assert "Pretraining" in result.page.read_text() and list(result.runs) == ["DDPM", "colour"]
    ready = with_networks(recipe(data), out)
    assert ready.rows[0].checkpoint == str(place)  # type: ignore[union-attr]
    assert with_networks(ready, out) is ready
    assert (place / "training" / "log.txt").read_text() == log


def test_finished_runs_are_kept_wherever_the_folder_lies(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once relative, then absolute, then moved."""
    monkeypatch.chdir(tmp_path)
    run_comparison(recipe(data), "out")
    record = tmp_path / "out" / "runs" / "ddpm" / "seed-0.json"
    before = record.stat().st_mtime_ns
    run_comparison(recipe(data), tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "moved")
    run_comparison(recipe(data), "moved")
    assert (tmp_path / "moved" / record.relative_to(tmp_path / "out")).stat().st_mtime_ns == before


def test_a_network_of_a_combined_row_is_trained(data: Path, tmp_path: Path) -> None:
    row = {"kind": "features", "name": "both", "backbone": "ddpm+timm", "checkpoint": "ddpm=mine,timm=elsewhere"}
    given = parse_recipe({**recipe(data).model_dump(), "rows": [row]})
    ready = with_networks(given, tmp_path / "out")
    place = str(tmp_path / "out" / "networks" / "mine")
    assert ready.rows[0].checkpoint == f"ddpm={place},timm=elsewhere"  # type: ignore[union-attr]
    assert [facts.place for facts in training_facts(ready)] == ["mine"]


def test_a_dry_run_names_the_networks_that_are_trained(data: Path) -> None:
    given = recipe(data)
    assert "Networks that are trained first:\n  mine: ddpm, 2 steps\n\n" in dry_run({"r": Plan.of(given)}, data)
    without = replaced(given, checkpoint=[f"ddpm={data}"])
    assert "trained first" not in dry_run({"r": Plan.of(without)}, data)


def test_facts_are_those_of_the_run(data: Path, tmp_path: Path) -> None:
    with_networks(recipe(data), tmp_path)
    place = tmp_path / "networks" / "mine"
    facts = TrainingFacts.of(str(place))
    assert facts is not None
    tensors = load_file(place / "unet" / "diffusion_pytorch_model.safetensors")
    assert facts.weights == sum(tensor.numel() for tensor in tensors.values())
    assert replace(facts, weights=0, seconds=0.0, flops=0) == TrainingFacts("mine", "ddpm", (8, 8), 4, 0, 0, 0.0)
    assert facts.flops is not None and facts.flops > 4 * 6 * facts.weights
    assert TrainingFacts.of(None) is None and TrainingFacts.of("builtin:toy_ddpm") is None


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"settings": {"stepz": 1}}, r"networks\.mine: unknown key 'settings\.stepz'; known there: image_size, crop"),
        ({"settings": {"steps": 0}}, "steps is 0"),
        ({"family": "colour"}, "cannot be trained from scratch; known: ddpm"),
        ({"images": ["unlabelled"]}, "unlabelled"),
        ({"images": []}, r"networks\.mine: images: name one or more folders"),
    ],
)
def test_mistakes_are_found_before_any_training(network: dict[str, Any], said: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        with_networks(recipe(data, **network), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_data_are_found_before_any_training(data: Path, tmp_path: Path) -> None:
    next((data / "test" / "masks").iterdir()).unlink()
    with pytest.raises(InputError, match="mask"):
        run_comparison(recipe(data), tmp_path / "out")
    assert not (tmp_path / "out" / "networks").exists()


def test_a_row_without_a_network_that_is_wrong_is_found_before_any_training(data: Path, tmp_path: Path) -> None:
    wrong = {"kind": "unet", "name": "U-Net", "encoder": "resnet19"}
    given = recipe(data).model_dump()
    with pytest.raises(InputError, match="row 'U-Net': no encoder 'resnet19'"):
        run_comparison(parse_recipe({**given, "rows": [*given["rows"], wrong]}), tmp_path / "out")
    assert not (tmp_path / "out" / "networks").exists()


@dataclass(frozen=True)
class FollowerSettings(DDPMPretrainSettings):
    """A DDPM that needs another network first."""

    generator: str | None = option(None, "The network that must be there.")

    def checkpoints(self) -> dict[str, str]:
        return {} if self.generator is None else {"generator": self.generator}

    def chosen_for(self, paths: list[Path], machine: Machine = Machine()) -> Self:  # noqa: B008
        assert self.generator is None or Path(self.generator, "model_index.json").is_file()
        return super().chosen_for(paths, machine)


@pytest.fixture
def follower(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family whose training needs a network of another one."""
    import frugalseg.backbones.ddpm.settings as settings

    monkeypatch.setattr(settings, "FollowerSettings", FollowerSettings, raising=False)
    family = replace(FAMILIES["ddpm"], name="follower", pretrain_settings="FollowerSettings", pretrain_name="follow")
    monkeypatch.setitem(FAMILIES, "follower", family)


def followers(data: dict[str, Any], **generators: str) -> Recipe:
    """A recipe with one row of a family that needs other networks, named as ``name=generator``."""
    network = {"images": ["unlabeled"] if data["kind"] == "folder" else [], "count": 3}
    networks = {
        name: {**network, "family": "follow", "settings": {**SETTINGS, "generator": generator}}
        for name, generator in generators.items()
    }
    row = {"kind": "features", "name": "a", "backbone": "ddpm", "checkpoint": "last", "options": {"timesteps": [10]}}
    base = {**network, "family": "ddpm", "settings": SETTINGS}
    return parse_recipe({"title": "t", "data": data, "rows": [row], "networks": {**networks, "base": base}})


@pytest.mark.usefixtures("follower")
def test_a_network_that_another_one_needs_is_trained_first(tmp_path: Path) -> None:
    toy = {"kind": "toy", "train": 1, "test": 1, "size": 16}
    ready = with_networks(followers(toy, last="base"), tmp_path)
    places = [str(tmp_path / "networks" / name) for name in ("base", "last")]
    assert ready.rows[0].checkpoint == places[1]  # type: ignore[union-attr]
    assert ready.networks["last"].settings["generator"] == places[0]
    facts = training_facts(ready)
    assert [(each.place, each.needed) for each in facts] == [("base", ()), ("last", (places[0],))]
    assert len(list((tmp_path / "data").glob("*/*.png"))) == 3
    # A file that somebody has changed: the network needs itself.
    settings = RunFolder(Path(places[1])).settings
    settings.write_text(settings.read_text().replace(places[0], places[1]))
    assert [each.place for each in training_facts(ready)] == ["last"]


@pytest.mark.usefixtures("follower")
def test_the_order_of_training_and_circles(data: Path) -> None:
    folder = {"kind": "folder", "path": str(data)}
    chain = followers(folder, last="middle", middle="base", other="base")
    assert training_order(["last", "elsewhere"], chain.networks) == ["base", "middle", "last"]
    with pytest.raises(InputError, match=r"networks\.last: needs itself, by way of last -> other -> last"):
        followers(folder, last="other", other="last")


def test_a_given_checkpoint_stands_for_the_training(data: Path, tmp_path: Path) -> None:
    given = parse_recipe(
        recipe(data).model_dump() | {"rows": [{"kind": "features", "name": "a", "backbone": "colour"}]}
    )
    assert with_networks(given, tmp_path / "out") == given
