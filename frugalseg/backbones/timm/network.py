"""From a name to a network of the timm library, cut off behind the deepest layer that is read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from frugalseg.backbones.limits import at_most
from frugalseg.support.checked import require_modest
from frugalseg.support.errors import InputError
from frugalseg.support.hub import is_hub_id

ON_HUB = "hf-hub:"
EXAMPLE = "vit_small_patch14_reg4_dinov2"
SUGGESTED = 5
MOST_BLOCKS = 12
"""So many blocks of a transformer are read unless told otherwise, the last ones, as the paper does with MAE."""
FINEST_STRIDE = 4
"""Maps of higher resolution are left out unless told otherwise."""
NOT_FROM_FILES = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
"""Arguments of `timm.create_model` that a foreign ``config.json`` has no say in."""


@dataclass(frozen=True)
class Design:
    """All that it takes to build a network anew, without its weights.

    Attributes:
        architecture: its name in the library's registry.
        arguments: further arguments of its constructor, as folders and the Hub give them.
        config: the library's ``pretrained_cfg``: input size, mean and standard deviation, where weights are.
    """

    architecture: str
    arguments: dict[str, Any]
    config: dict[str, Any]

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the images that the network was trained on."""
        _, height, width = self.config["input_size"]
        return int(height), int(width)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without the place of the weights."""
        from timm.models import filter_pretrained_cfg

        return {**asdict(self), "config": filter_pretrained_cfg(self.config, remove_source=True)}

    @classmethod
    def from_json(cls, architecture: str, arguments: dict[str, Any], config: dict[str, Any]) -> "Design":
        """The inverse of `to_json`; also reads the ``config.json`` of the library's own folders.

        Raises:
            ValueError: the config is not one of an image model.
        """
        from timm.models import PretrainedCfg

        known = [field.name for field in fields(PretrainedCfg)]
        complete = PretrainedCfg(**{name: value for name, value in config.items() if name in known}).to_dict()
        for name in ("input_size", "mean", "std"):
            values = complete[name]
            if not isinstance(values, list | tuple) or len(values) != 3 or not all(v > 0 for v in values):
                raise ValueError(f"{name} is {values!r}; three positive numbers are expected")
        free = {name: value for name, value in arguments.items() if name not in NOT_FROM_FILES}
        return cls(architecture, free, complete)


def design_named(name: str) -> Design:
    """The design of a network of the registry, or of one on the Hub (``hf-hub:OWNER/NAME``).

    Raises:
        InputError: an unknown name or tag (the nearest are listed), or a Hub that cannot be reached.
    """
    from timm.models import PretrainedCfg, get_pretrained_cfg, parse_model_name

    try:
        source, identifier = parse_model_name(name)
    except ValueError:
        raise InputError(f"no timm network {name!r}; networks of the Hub are {ON_HUB}OWNER/NAME") from None
    if source == "hf-hub":
        if not is_hub_id(identifier.partition("@")[0]):
            raise InputError(f"{name}: not a network of the Hub; give {ON_HUB}OWNER/NAME")
        return design_on_hub(name, identifier)
    if source is not None:
        raise InputError(f"model {name}: give the folder as the checkpoint, without a model")
    architecture = name.partition(".")[0]
    check_registered(architecture)
    try:
        config = get_pretrained_cfg(name) or PretrainedCfg()
    except RuntimeError:
        raise InputError(f"no weights {name!r} in timm; {tags_of(architecture)}") from None
    return Design(architecture, {}, config.to_dict())


def design_on_hub(name: str, identifier: str) -> Design:
    """The design that a Hub repository's ``config.json`` describes."""
    from timm.models import load_model_config_from_hf

    try:
        config, architecture, arguments = load_model_config_from_hf(identifier)
        design = Design.from_json(architecture, arguments or {}, config)
    except Exception as error:  # the Hub client raises a dozen kinds; each means the same to the user
        raise InputError(
            f"{name}: no timm network could be fetched there ({first_line(error)}); is the Hub reachable?"
        ) from None
    check_registered(architecture)
    return design


def check_registered(architecture: str) -> None:
    """Raise `InputError` with the nearest names unless the library has such a network."""
    import timm

    names = timm.list_models()  # unlike `timm.is_model` without names of old that map to others
    if architecture in names:
        return
    near = get_close_matches(architecture, names, SUGGESTED) or [n for n in names if architecture in n][:SUGGESTED]
    hint = f"nearest: {', '.join(near)}" if near else f"an example is {EXAMPLE}; timm.list_models() gives all"
    raise InputError(f"no timm network {architecture!r}; {hint}")


def tags_of(architecture: str) -> str:
    """Which published weights there are."""
    import timm

    names = timm.list_models(f"{architecture}.*", pretrained=True)
    return f"there are {', '.join(names[:SUGGESTED])}" if names else f"{architecture} has none"


def build(design: Design, *, pretrained: bool = False, seed: int = 0) -> nn.Module:
    """The whole network, in evaluation mode.

    Args:
        design: which.
        pretrained: with its published weights, which are fetched where they are not in the cache.
        seed: of the random weights without that; the global random state is left alone.

    Raises:
        InputError: no weights are published, or they cannot be fetched, or the network does not take RGB images.
    """
    name = design.architecture
    if design.config["input_size"][0] != 3:
        raise InputError(f"{name} takes images of {design.config['input_size'][0]} channels, not 3")
    if pretrained:
        return with_published_weights(design)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return create(design, pretrained=False)
        except InputError:
            raise
        except Exception as error:  # arguments of a stranger's config can fail anywhere in the library
            raise InputError(f"{name} cannot be built as its config says ({first_line(error)})") from None


def outline(design: Design, layers: Sequence[int] | None = None) -> nn.Module:
    """The network without memory for its tensors, `pruned` to `layers` where they are given.

    Raises:
        InputError: there is no such network, or only one that no machine could hold.
    """
    require_modest(design.arguments)
    require_modest({name: design.config[name] for name in ("input_size", "num_classes") if name in design.config})
    with torch.device("meta"), at_most():
        network = build(design)
    return network if layers is None else pruned(network, choose_layers(network, layers))


def is_whole(network: nn.Module) -> bool:
    """Whether all tensors of a network are in its state dict, so that a checkpoint alone gives every value of it."""
    own = [value for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    stored = network.state_dict().keys()
    return not own and all(name in stored for name, _ in network.named_buffers())


def with_published_weights(design: Design) -> nn.Module:
    """The network with weights from the library's cache, the Hub or wherever else its config says."""
    config, name = design.config, design.architecture
    remedy = "give a checkpoint file of its weights, or pretrained=False (--no-pretrained) for random ones"
    if not any(config.get(key) for key in ("url", "file", "hf_hub_id")):
        raise InputError(f"{name} has no published weights; {remedy}")
    try:
        return create(design, pretrained=True)
    except Exception as error:  # as with the Hub's config: many kinds, one meaning
        raise InputError(f"the weights of {name} cannot be fetched ({first_line(error)}); {remedy}") from None


def create(design: Design, *, pretrained: bool) -> nn.Module:
    """`timm.create_model`, for images of any size where the network has that option."""
    import timm

    options = {"pretrained": pretrained, "pretrained_cfg": design.config, **design.arguments}
    try:
        model = timm.create_model(design.architecture, **{**options, "dynamic_img_size": True})
    except TypeError:  # most networks do not know the option; only their constructor can tell
        model = timm.create_model(design.architecture, **options)
    built: nn.Module = model.eval()
    return built


def reductions(model: Any) -> list[int]:
    """Input pixels between two values of each feature map that the network can give, from the shallowest on.

    Raises:
        InputError: it gives none.
    """
    if not hasattr(model, "forward_intermediates"):
        raise InputError(
            f"{type(model).__name__} gives no feature maps; choose another timm network, such as {EXAMPLE}"
        )
    return [int(level["reduction"]) for level in model.feature_info]


def choose_layers(model: nn.Module, layers: Sequence[int] | None) -> tuple[int, ...]:
    """The layers that are read, ascending.

    Without a choice these are the last twelve whose values lie at least 4 pixels apart: all blocks of a usual
    transformer, all levels of a pyramid but the stem's, whose map is the largest and shows little but edges.

    Raises:
        InputError: a layer that the network does not have.
    """
    steps = reductions(model)
    if layers is None:
        coarse = [layer for layer, step in enumerate(steps) if step >= FINEST_STRIDE]
        return tuple((coarse or range(len(steps)))[-MOST_BLOCKS:])
    return require_layers(layers, len(steps))


def require_layers(layers: Sequence[int], end: int) -> tuple[int, ...]:
    """`layers`, ascending; `InputError` unless each is from 0 to below `end`."""
    wrong = [layer for layer in layers if not 0 <= layer < end]
    if wrong:
        raise InputError(f"layers {', '.join(map(str, wrong))}: this network has layers 0 to {end - 1}")
    return tuple(sorted(layers))


def pruned(model: Any, layers: Sequence[int]) -> nn.Module:
    """The network without what lies behind the deepest of `layers`, as far as the library can cut it off."""
    if hasattr(model, "prune_intermediate_layers"):
        model.prune_intermediate_layers(list(layers), prune_norm=True, prune_head=True)
    network: nn.Module = model
    return network


def intermediates(network: Any, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """The outputs of `layers` for normalised (B, 3, H, W) images, each (B, C, h, w), without class and other tokens."""
    maps: list[Tensor] = network.forward_intermediates(
        images, indices=list(layers), norm=False, stop_early=True, output_fmt="NCHW", intermediates_only=True
    )
    return maps


def first_line(error: Exception) -> str:
    """What an exception says, its first sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].partition(". ")[0][:160] if lines else type(error).__name__
