"""Families are named once, may share a package or live elsewhere, and keep to themselves."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import frugalseg.backbones
from frugalseg.backbones import load_backbone, saved
from frugalseg.backbones.registry import FAMILIES, Family, family_named, register, require_generating
from frugalseg.jobs.pretrain import pretrainable_family
from frugalseg.support.errors import InputError

ROOT = Path(frugalseg.backbones.__file__).parent


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr("frugalseg.backbones.registry.FAMILIES", FAMILIES.copy())


def test_a_name_is_given_once(registry):
    register(FAMILIES["mae"])
    with pytest.raises(
        ValueError, match=r"two families are named 'mae', one in frugalseg\.backbones\.mae and one in x"
    ):
        register(Family("mae", "Backbone", "Options", package="x"))
    assert family_named("mae").package == "frugalseg.backbones.mae"


def test_two_names_share_a_package(registry):
    register(replace(FAMILIES["colour"], name="color", package="frugalseg.backbones.colour"))
    first, second = (load_backbone(name, native_size=(8, 8)) for name in ("colour", "color"))
    assert type(first) is type(second)


def test_unknown_names_and_families_that_do_not_generate(registry):
    with pytest.raises(InputError, match=r"no backbone family 'gan'; known: .*colour, ddpm, filters, .*mae"):
        family_named("gan")
    with pytest.raises(InputError, match=r"a mae backbone cannot generate images; those of the families ddpm, .*can"):
        require_generating("mae")
    register(Family("gan", "B", "O", generation="G"))
    with pytest.raises(InputError, match=r"those of the families ddpm, .*, gan can"):
        require_generating("mae")
    assert require_generating("gan").name == "gan"


def test_a_training_may_have_a_name_of_its_own(registry, tmp_path):
    named = replace(FAMILIES["mae"], name="view", pretrain_name="glance", package="frugalseg.backbones.mae")
    register(named)
    assert FAMILIES["mae"].pretrain_name == "mae"
    assert pretrainable_family("glance") == pretrainable_family("view") == named
    with pytest.raises(InputError, match="pretrain glance"):
        saved.read_config(tmp_path, "view")
    with pytest.raises(InputError, match=r"known: ddpm, swav, mae.*, glance"):
        pretrainable_family("colour")


def test_pretraining_needs_its_settings():
    with pytest.raises(ValueError, match="'half' needs both pretraining and pretrain_settings, or neither"):
        Family("half", "B", "O", pretraining="P")


@pytest.mark.parametrize("folder", sorted(path.name for path in ROOT.iterdir() if (path / "backbone.py").is_file()))
def test_no_family_imports_another(folder):
    others = {path.name for path in ROOT.iterdir() if (path / "backbone.py").is_file()} - {folder}
    for path in (ROOT / folder).glob("**/*.py"):
        named = re.findall(r"frugalseg\.backbones(?:\.| import )(\w+)", path.read_text())
        assert not others.intersection(named), path
