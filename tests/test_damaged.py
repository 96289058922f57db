"""Saved models with one thing wrong: each loads, or is refused in one line, in a moment and without memory."""

import random
import resource
from itertools import groupby

import pytest
import timm

from frugalseg import InputError, Segmenter, load_backbone, load_model
from frugalseg.backbones.mae.checkpoint import save_network as save_mae
from frugalseg.backbones.mae.network import Encoder, EncoderShape, random_network
from frugalseg.backbones.swav.checkpoint import save_network as save_swav
from frugalseg.backbones.swav.network import build_network
from frugalseg.backbones.swav.shape import ResNetShape
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.student import Student, View
from tests.mutations import Changed, folder_mutations

KINDS = ("colour", "ddpm", "swav", "mae", "timm", "student")
LONGEST = 400
MEMORY = 2 * 2**30
"""Bytes by which the process may grow over all the damage together; single values ask for terabytes."""


def backbone(family, folder, ddpm):
    """A tiny backbone of a family."""
    if family == "ddpm":
        return load_backbone("ddpm", ddpm, timesteps=(50,), blocks=(1,))
    if family == "swav":
        save_swav(build_network(ResNetShape(4, (1, 1), "basic", 1), 0), (16, 16), folder)
        return load_backbone("swav", folder)
    if family == "mae":
        save_mae(random_network(Encoder, EncoderShape((16, 16), 8, 8, 2, 2), seed=0), folder)
        return load_backbone("mae", folder)
    if family == "timm":
        arguments = {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 16, "num_classes": 2}
        network = timm.create_model("vit_tiny_patch16_224", **arguments)
        config = {**network.pretrained_cfg, "input_size": (3, 32, 32), "num_classes": 2}
        timm.models.save_for_hf(network, folder, model_config=config, model_args=arguments)
        return load_backbone("timm", folder)
    return load_backbone("colour", native_size=(16, 16))


@pytest.fixture(scope="module")
def saved(tiny_ddpm, tmp_path_factory):
    """Gives the folder of a saved model of a kind, made when it is first asked for."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("saved") / kind
            model_of(kind, tmp_path_factory.mktemp(kind), tiny_ddpm).save_pretrained(made[kind])
        return made[kind]

    return of


def model_of(kind, folder, ddpm):
    """A tiny model that was never trained."""
    if kind == "student":
        network = new_network(NetworkSpec("unet", "mobilenet_v2", 3, len(TOY_CLASSES)), 0)
        return Student(network, TOY_CLASSES, View((48, 48)))
    model = Segmenter(backbone(kind, folder, ddpm), members=2)
    model.classes = TOY_CLASSES
    channels = [tap.channels for tap in model.backbone.taps]
    model.classifier = PixelClassifier(channels, len(TOY_CLASSES), 2)
    return model


def answer(load):
    """The line with which something is refused, or None."""
    try:
        load()
    except InputError as error:
        return str(error)
    return None


def chosen(mutations, count, rng):
    """`count` changes, one of each of as many fields of files; or all changes."""
    if count is None:
        return list(mutations)
    groups = [list(group) for _, group in groupby(mutations, key=lambda mutation: mutation[0].split(" ")[:2])]
    return [rng.choice(group) for group in rng.sample(groups, min(count, len(groups)))]


@pytest.mark.parametrize("count", [30, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_models_load_or_are_refused_in_one_line(kind, count, saved, tmp_path):
    folder = saved(kind)
    assert answer(lambda: load_model(folder)) is None
    before, refused, changed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, Changed(folder, tmp_path)
    for name, path, content in chosen(folder_mutations(folder), count, random.Random(0)):
        changed.change(path, content)
        said = answer(lambda: load_model(changed.folder))
        changed.mend(path)
        refused += said is not None
        assert said is None or (said.isprintable() and len(said) < LONGEST), (name, said)
    assert refused > 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY / 1024
