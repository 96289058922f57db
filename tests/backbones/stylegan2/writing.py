"""Writes pickles as stylegan2-ada-pytorch does: with stand-ins for its modules, which exist only while they write."""

import pickle
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np
import torch

SOURCE = "raise SystemExit('the source in a pickle was executed')\n"


@contextmanager
def official_modules():
    """Within the block, ``torch_utils.persistence`` and ``dnnlib.util`` can be imported, as pickle wants it."""
    made = {}
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        made[name] = sys.modules[name] = types.ModuleType(name)

    def rebuilt(meta):
        raise AssertionError

    rebuilt.__module__, rebuilt.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    rebuilt.__name__ = "_reconstruct_persistent_obj"
    made["torch_utils.persistence"]._reconstruct_persistent_obj = rebuilt
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util"})
    made["dnnlib.util"].EasyDict = easy
    try:
        yield rebuilt, easy
    finally:
        for name in made:
            del sys.modules[name]


class Persistent:
    """What is written as a module: its class's name and its attributes."""

    def __init__(self, rebuilt, class_name, state):
        self.rebuilt, self.class_name, self.state = rebuilt, class_name, state

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name}
        return self.rebuilt, ({**meta, "state": self.state},)


def attributes_of(network):
    """{name of a module in it: the attributes that the official one of that name has}, as far as they tell anything."""
    clamp = network.shape.clamp
    layer = {"conv_clamp": clamp, "activation": "lrelu", "act_gain": np.sqrt(2)}
    found = {}
    for name, _ in network.named_modules():
        last = name.rsplit(".", 1)[-1]
        if last.startswith("fc") and name.startswith("mapping"):
            found[name] = {"bias_gain": 0.01, "activation": "lrelu", "weight_gain": np.float64(0.1)}
        elif last in ("conv0", "conv1", "conv"):
            found[name] = {**layer, "use_noise": True, "padding": 1}
        elif last.startswith("b") and last[1:].isdigit():
            found[name] = {"architecture": "skip" if name.startswith("synthesis") else "resnet"}
    if hasattr(network.shape, "group"):
        found["b4.mbstd"] = {"group_size": network.shape.group, "num_channels": network.shape.statistics}
    return found


def persistent(network, rebuilt, class_name, attributes):
    """A network of ours as a tree of official modules."""
    parameters = dict(network.named_parameters())
    tree = {"": {}}
    for name in [*network.state_dict(), *(f"{module}.x" for module in attributes)]:
        path = name.split(".")[:-1]
        for depth in range(len(path) + 1):
            tree.setdefault(".".join(path[:depth]), {})
    for name, value in network.state_dict().items():
        module, _, last = name.rpartition(".")
        tree[module][last] = torch.nn.Parameter(value.clone()) if name in parameters else value.clone()

    def module(name):
        own = tree[name]
        inner = [other for other in tree if other and other.rpartition(".")[0] == name and other != name]
        state = {
            "training": False,
            "_parameters": OrderedDict((k, v) for k, v in own.items() if isinstance(v, torch.nn.Parameter)),
            "_buffers": OrderedDict((k, v) for k, v in own.items() if not isinstance(v, torch.nn.Parameter)),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_modules": OrderedDict((other.rpartition(".")[2], module(other)) for other in inner),
            **attributes.get(name, {}),
        }
        return Persistent(rebuilt, class_name if not name else "Layer", state)

    return module("")


def write_official(path, generator=None, discriminator=None, *, protocol=4, change=None, **more):
    """Write a pickle as the official training does; `change` gets the content before it is written."""
    with official_modules() as (rebuilt, easy):
        content = {"training_set_kwargs": easy(class_name="training.dataset.ImageFolderDataset", path="x.zip")}
        for name, network in (("G", generator), ("D", discriminator), ("G_ema", generator)):
            if network is not None:
                kind = "Discriminator" if name == "D" else "Generator"
                content[name] = persistent(network, rebuilt, f"training.networks.{kind}", attributes_of(network))
        content |= {"augment_pipe": None, **more}
        if change is not None:
            change(content)
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
