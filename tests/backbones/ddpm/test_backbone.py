import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from frugalseg.backbones import load_backbone, load_saved_backbone
from frugalseg.backbones.ddpm.backbone import DDPMBackbone, compile_blocks
from frugalseg.backbones.ddpm.checkpoint import load_guided_diffusion
from frugalseg.backbones.ddpm.settings import DDPMGeneration, FeatureSettings
from frugalseg.support.errors import InputError
from tests.backbones.battery import BackboneChecks
from tests.golden import golden


@pytest.fixture
def backbone(tiny_ddpm):
    return load_backbone("ddpm", tiny_ddpm, timesteps=(50, 250), blocks=(0, 2))


class TestDDPM(BackboneChecks):
    @pytest.fixture(scope="class")
    def backbone(self, tiny_ddpm):
        return load_backbone("ddpm", tiny_ddpm, timesteps=(50, 250), blocks=(0, 2))


def images(count=2, size=(16, 24)):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))


def test_taps_say_what_comes(backbone):
    maps = backbone(images())
    assert [tap.name for tap in backbone.taps] == ["t50.block0", "t50.block2", "t250.block0", "t250.block2"]
    assert maps.size == (16, 24)
    for tap, values in zip(backbone.taps, maps.maps, strict=True):
        assert values.shape == (2, tap.channels, 16 // tap.stride, 24 // tap.stride)
    assert backbone.dim == maps.dim


def test_the_same_whatever_else_is_in_the_batch(backbone, tiny_ddpm):
    both, alone = backbone(images()), backbone(images()[1:])
    one_step = load_backbone("ddpm", tiny_ddpm, timesteps=(250,), blocks=(2,))(images())
    for a, b in zip(both.maps, alone.maps, strict=True):
        torch.testing.assert_close(a[1:], b, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.maps[3], one_step.maps[0], atol=1e-5, rtol=1e-4)


def test_runs_no_deeper_than_the_deepest_tap(tiny_ddpm):
    shallow = load_backbone("ddpm", tiny_ddpm, timesteps=(50,), blocks=(1,))
    expected = shallow(images()).maps[0].clone()
    for level in shallow.unet.up_blocks[1:]:
        for parameter in level.parameters():
            parameter.fill_(float("nan"))
    shallow.unet.conv_out.weight.fill_(float("nan"))
    assert torch.equal(shallow(images()).maps[0], expected)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_network_of_few_steps_is_read_at_each_that_it_names(steps, tiny_ddpm, tmp_path):
    shutil.copytree(tiny_ddpm, tmp_path / "few")
    path = tmp_path / "few" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_train_timesteps": steps}))
    few = load_backbone("ddpm", tmp_path / "few")
    places = few.readable()
    assert places["timesteps"] == tuple(range(steps))
    assert few.reading(**places).settings.timesteps == places["timesteps"]


def test_noise_follows_the_seed_and_draws_are_averaged(tiny_ddpm):
    def maps(**options):
        return load_backbone("ddpm", tiny_ddpm, timesteps=(250,), blocks=(1,), **options)(images()).maps[0]

    assert torch.equal(maps(noise_seed=3), maps(noise_seed=3))
    assert not torch.equal(maps(noise_seed=3), maps(noise_seed=4))
    backbone = load_backbone("ddpm", tiny_ddpm, timesteps=(250,), blocks=(1,), noise_draws=2)
    noise = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        single = [backbone.maps_for_noise(images(), each[None])[0] for each in noise]
    torch.testing.assert_close(maps(noise_draws=2), (single[0] + single[1]) / 2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_is_close(precision, tiny_ddpm, backbone):
    low = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 250), blocks=(0, 2), precision=precision)(images())
    for a, b in zip(backbone(images()).maps, low.maps, strict=True):
        assert (a - b.float()).square().mean().sqrt() < {"bf16": 0.02, "fp16": 0.003}[precision] * a.std()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_survives_saving(precision, tiny_ddpm, tmp_path):
    low = load_backbone("ddpm", tiny_ddpm, timesteps=(50, 250), blocks=(0, 2), precision=precision)
    low.save_pretrained(tmp_path)
    again = load_saved_backbone(tmp_path)
    assert again.unet.dtype == low.unet.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert all(torch.equal(a, b) for a, b in zip(low(images()).maps, again(images()).maps, strict=True))


def test_a_model_of_an_earlier_version_runs_in_float32(backbone, tmp_path):
    """What was saved without a precision has always been loaded in float32."""
    backbone.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "backbone.json").read_text())
    del config["precision"]
    (tmp_path / "backbone.json").write_text(json.dumps(config))
    again = load_saved_backbone(tmp_path)
    assert again.unet.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(backbone(images()).maps, again(images()).maps, strict=True))


@pytest.mark.slow  # dynamo traces 17 graphs
def test_every_kind_of_block_is_compiled():
    """Dynamo gives up on a function after 8 versions of it, unless it is told otherwise."""
    from diffusers import DDPMScheduler, UNet2DModel

    widths = (4, 8, 12, 16, 20)
    kinds = {"down_block_types": ("DownBlock2D",) * 5, "up_block_types": ("UpBlock2D",) * 5}
    unet = UNet2DModel(sample_size=16, block_out_channels=widths, layers_per_block=1, norm_num_groups=4, **kinds)
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    torch.compiler.reset()
    compile_blocks(unet.eval(), backend=backend)
    backbone = DDPMBackbone(unet, DDPMScheduler(), FeatureSettings((50,), (9,)))
    backbone(images(1, (16, 16)))
    assert len(compiled) == 17  # 16 kinds of residual blocks and an attention; 9 with dynamo's own limit
    backbone(images(1, (16, 16)))
    assert len(compiled) == 17
    torch.compiler.reset()


def test_save_load_and_random_weights(backbone, tmp_path):
    backbone.save_pretrained(tmp_path)
    again = load_saved_backbone(tmp_path)
    expected = backbone(images())
    assert again.taps == backbone.taps
    assert all(torch.equal(a, b) for a, b in zip(expected.maps, again(images()).maps, strict=True))
    random = [backbone.reinitialised(seed)(images()).maps[0] for seed in (5, 5, 6)]
    assert torch.equal(random[0], random[1])
    assert not torch.equal(random[0], random[2])
    assert not torch.allclose(random[0], expected.maps[0])


def test_a_size_that_the_strides_do_not_divide(backbone):
    with pytest.raises(ValueError, match="15x24 does not fit a network of stride 2; resize it to 16x24"):
        backbone(images(size=(15, 24)))


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        (None, "needs a checkpoint"),
        ("nowhere/at/all", "no such file or folder"),
        ("missing.pt", "no such file or folder"),
        ("empty", "no unet/config.json"),
    ],
)
def test_checkpoints_that_are_none(checkpoint, message, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        load_backbone("ddpm", checkpoint if checkpoint is None or "/" in checkpoint else tmp_path / checkpoint)


def test_a_loaded_network_needs_its_file_no_more(tiny_ddpm, tmp_path):
    shutil.copytree(tiny_ddpm, tmp_path / "net")
    loaded, other = (load_backbone("ddpm", place, timesteps=(50,)) for place in (tmp_path / "net", tiny_ddpm))
    for file in (tmp_path / "net").rglob("*.safetensors"):
        with file.open("r+b") as written:
            written.write(bytes(file.stat().st_size))
    for name, values in loaded.unet.state_dict().items():
        assert torch.equal(values, other.unet.state_dict()[name]), name


def test_attention_under_the_names_of_early_diffusers(tiny_ddpm, tmp_path):
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    shutil.copytree(tiny_ddpm, tmp_path / "net")
    file = next((tmp_path / "net").rglob("*.safetensors"))
    tensors = load_file(file)
    for now, before in old.items():
        tensors = {name.replace(now, before): values for name, values in tensors.items()}
    assert any("proj_attn" in name for name in tensors)
    save_file(tensors, file)
    loaded, other = (load_backbone("ddpm", place, timesteps=(50,)) for place in (tmp_path / "net", tiny_ddpm))
    for mine, theirs in zip(loaded(images()).maps, other(images()).maps, strict=True):
        assert torch.equal(mine, theirs)


def test_a_truncated_pipeline_folder(tiny_ddpm, tmp_path):
    shutil.copytree(tiny_ddpm, tmp_path / "cut")
    weights = next((tmp_path / "cut" / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cut/unet/\w+\.safetensors: damaged or truncated safetensors file"):
        load_backbone("ddpm", tmp_path / "cut")


def test_unknown_settings_of_a_pipeline_are_left_out_and_told(tiny_ddpm, tmp_path, capfd, caplog):
    folder = shutil.copytree(tiny_ddpm, tmp_path / "pipeline")
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "block_padding": 1}))
    load_backbone("ddpm", folder)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "left out of the config of the unet, for they are unknown: block_padding"
    ]
    assert not capfd.readouterr().err


@pytest.mark.parametrize("sampler", ["sde-dpmsolver++", "dpmsolver++", "unipc"])
def test_how_a_pipeline_was_sampled_elsewhere_changes_nothing(sampler, tiny_ddpm, tmp_path):
    """`pretrain` writes no sampler, but whoever has drawn with such a pipeline may have saved it with one."""
    from diffusers import DPMSolverMultistepScheduler

    folder = shutil.copytree(tiny_ddpm, tmp_path / "pipeline")
    DPMSolverMultistepScheduler(use_karras_sigmas=True, solver_order=3).save_pretrained(folder / "scheduler")
    how = DDPMGeneration(sampler=sampler, sampling_steps=16, first_step=900)
    found, plain = (load_backbone("ddpm", place).generator(how).draw([1]).images for place in (folder, tiny_ddpm))
    assert torch.equal(found, plain)


def small_pipeline(folder, **config):
    """An untrained UNet without attention, as a pipeline."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    kinds = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4, **kinds, **config)
    DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_of_other_images_than_rgb_is_refused(channels, tmp_path):
    folder = small_pipeline(tmp_path / "other", sample_size=16, in_channels=channels, out_channels=channels)
    with pytest.raises(InputError, match=f"other: a network of images with {channels} channels; one of RGB images"):
        load_backbone("ddpm", folder)


def test_a_network_that_tells_no_size_draws_images_of_256_pixels(tmp_path):
    found = load_backbone("ddpm", small_pipeline(tmp_path / "net", sample_size=None))
    generator = found.generator(DDPMGeneration(sampler="ddim", sampling_steps=1, first_step=9))
    assert found.native_size == generator.size == (256, 256)
    assert generator.draw([1]).images.shape == (1, 3, 256, 256)


def test_options_of_another_kind_are_refused(tiny_ddpm):
    with pytest.raises(InputError, match="no option layers"):
        load_backbone("ddpm", tiny_ddpm, layers=(1,))
    with pytest.raises(InputError, match="head_channels: only for published"):
        load_backbone("ddpm", tiny_ddpm, head_channels=64)
    with pytest.raises(InputError, match="precision: should be 'fp32', 'bf16' or 'fp16', not 'fp8'"):
        load_backbone("ddpm", tiny_ddpm, precision="fp8")
    with pytest.raises(InputError, match=r"known: .*colour, ddpm"):
        load_backbone("dpm")


@pytest.fixture
def tiny_guided():
    return {k: torch.from_numpy(v) for k, v in golden.tensors(golden.load("guided_diffusion_tiny")).items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("out.2.weight"), r"not a guided-diffusion UNet \(no out\.2\.weight\)"),
        (lambda t: t.pop("output_blocks.2.0.in_layers.2.bias"), r"lacks up_blocks\.1\.resnets\.0\.conv1\.bias"),
        (lambda t: t.update(surprise=torch.ones(1)), "unknown: surprise"),
        (lambda t: t.update({"label_emb.weight": torch.ones(2, 2)}), "class-conditional"),
        (lambda t: t.update({"out.2.bias": torch.ones(7)}), "another shape: conv_out.bias"),
    ],
)
def test_a_checkpoint_of_another_network(change, message, tiny_guided, tmp_path):
    change(tiny_guided)
    torch.save(tiny_guided, tmp_path / "other.pt")
    with pytest.raises(InputError, match=message):
        load_guided_diffusion(tmp_path / "other.pt", head_channels=16)


def test_heads_that_do_not_divide(tiny_guided, tmp_path):
    torch.save(tiny_guided, tmp_path / "t.pt")
    with pytest.raises(InputError, match="heads of 48 channels"):
        load_guided_diffusion(tmp_path / "t.pt", head_channels=48)


def test_a_published_file_of_other_images_than_rgb_is_refused(tiny_guided, tmp_path):
    stem = tiny_guided["input_blocks.0.0.weight"]
    torch.save({**tiny_guided, "input_blocks.0.0.weight": stem.repeat(1, 2, 1, 1)}, tmp_path / "upsampler.pt")
    with pytest.raises(InputError, match="a network of images with 6 channels"):
        load_backbone("ddpm", tmp_path / "upsampler.pt", head_channels=16)


@pytest.mark.parametrize("part", ["unet", "scheduler"])
@pytest.mark.parametrize("content", ['"google/ddpm-cat-256"', "1.5", "[1]", "null"])
def test_a_config_that_is_no_object_is_never_looked_for_on_the_hub(part, content, tiny_ddpm, tmp_path, recwarn):
    folder = shutil.copytree(tiny_ddpm, tmp_path / "pipeline")
    (folder / part / ("config.json" if part == "unet" else "scheduler_config.json")).write_text(content)
    with pytest.raises(InputError, match=f"pipeline: .*{part}"):
        load_backbone("ddpm", folder)
    assert not recwarn
