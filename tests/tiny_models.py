"""Models of each kind that load in a blink; none was ever trained."""

import timm

from frugalseg import Segmenter, load_backbone
from frugalseg.backbones.alae.checkpoint import save_network as save_alae
from frugalseg.backbones.alae.network import random_network as random_alae
from frugalseg.backbones.alae.shape import Shape as ALAEShape
from frugalseg.backbones.combined.backbone import CombinedBackbone
from frugalseg.backbones.mae.checkpoint import save_network as save_mae
from frugalseg.backbones.mae.network import Encoder, EncoderShape, random_network
from frugalseg.backbones.swav.checkpoint import save_network as save_swav
from frugalseg.backbones.swav.network import build_network
from frugalseg.backbones.swav.shape import ResNetShape
from frugalseg.backbones.vdvae.checkpoint import save_network as save_vdvae
from frugalseg.backbones.vdvae.network import random_network as random_vdvae
from frugalseg.backbones.vdvae.pixels import Pixels
from frugalseg.backbones.vdvae.shape import VDVAEShape
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.data.toy.dataset import TOY_CLASSES
from frugalseg.students.network import NetworkSpec, new_network
from frugalseg.students.student import Student, View

KINDS = ("colour", "filters", "filters+colour", "ddpm", "swav", "mae", "alae", "vdvae", "timm", "student")


def backbone(family, folder, ddpm):
    """A tiny backbone of a family, or of several."""
    if "+" in family:
        return CombinedBackbone([backbone(each, folder / each, ddpm) for each in family.split("+")])
    if family == "ddpm":
        return load_backbone("ddpm", ddpm, timesteps=(50,), blocks=(1,))
    if family == "swav":
        save_swav(build_network(ResNetShape(4, (1, 1), "basic", 1), 0), (16, 16), folder)
        return load_backbone("swav", folder)
    if family == "mae":
        save_mae(random_network(Encoder, EncoderShape((16, 16), 8, 8, 2, 2), seed=0), folder)
        return load_backbone("mae", folder)
    if family == "alae":
        save_alae(random_alae(ALAEShape(layers=3, latent=4, start=4, most=4, mapping=1), 0), folder)
        return load_backbone("alae", folder)
    if family == "vdvae":
        shape = VDVAEShape((8, 8), "8x1,8d2,4x1", "4x1,8m4", ((8, 4), (4, 4)), zdim=1, mixtures=1, no_bias_above=4)
        save_vdvae(random_vdvae(shape, Pixels(120.0, 70.0), 0), folder)
        return load_backbone("vdvae", folder)
    if family == "timm":
        save_timm(folder)
        return load_backbone("timm", folder)
    if family == "filters":
        return load_backbone("filters", scales=(1.0,), kinds=("gaussian", "hessian"))
    return load_backbone("colour", native_size=(16, 16))


def save_timm(folder):
    """A folder as timm's own tools write it."""
    arguments = {"embed_dim": 24, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 16, "num_classes": 2}
    network = timm.create_model("vit_tiny_patch16_224", **arguments)
    config = {**network.pretrained_cfg, "input_size": (3, 32, 32), "num_classes": 2}
    timm.models.save_for_hf(network, folder, model_config=config, model_args=arguments)


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
