"""Files as the published ones are, with the layout and the values of a golden file, or of a tiny network."""

import torch

from frugalseg.backbones.alae.network import random_network
from frugalseg.backbones.alae.shape import Shape
from tests.golden import golden

TINY = Shape(layers=3, latent=6, start=4, most=8, mapping=2)
"""For images of 16 x 16."""


def models_of(expected):
    """The networks of a golden file, each a state dict by its published name."""
    models = {}
    for key, value in golden.tensors(expected).items():
        _, network, name = key.split(".", 2)
        models.setdefault(network, {})[name] = torch.from_numpy(value)
    return models


def tiny_models(shape=TINY, seed=0, averaged=1):
    """The networks of a published file for a tiny network; `averaged` is the seed of the averaged ones."""
    models = {}
    for ending, number in (("", seed), ("_s", averaged)):
        for key, value in random_network(shape, number).state_dict().items():
            network, name = key.split(".", 1)
            models.setdefault(network if network == "dlatent_avg" else network + ending, {})[name] = value
    return models


class RunningMeanTorch:
    """As the training code that published the files has it."""

    def __init__(self):
        self.values = [torch.ones(2)]


RunningMeanTorch.__module__ = "tracker"


def save_published(path, models, zipped=False, **auxiliary):
    """A file of 2020 by default: in the format before zip archives, with the states of the training."""
    import sys
    from types import ModuleType

    tracker = ModuleType("tracker")
    tracker.RunningMeanTorch = RunningMeanTorch
    sys.modules["tracker"] = tracker
    try:
        training = {
            "encoder_optimizer": {"state": {}, "param_groups": [{"lr": 0.0015, "params": [0]}]},
            "scheduler": {"last_epoch": 3},
            "tracker": {"tracks": {"loss_d": RunningMeanTorch()}},
            **auxiliary,
        }
        torch.save({"models": models, "auxiliary": training}, path, _use_new_zipfile_serialization=zipped)
    finally:
        del sys.modules["tracker"]
    return path
