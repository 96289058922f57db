"""Published e4e files with their decoders as inversions, and those that are none."""

import pytest
import torch

from frugalseg.backbones import load_backbone
from frugalseg.support.errors import InputError
from tests.backbones.stylegan2.encoder.helpers import published
from tests.backbones.stylegan2.inversion.helpers import generator, with_decoder

AVERAGE = published()["latent_avg"]


@pytest.fixture
def file(tmp_path):
    """Writes an e4e file; its arguments are those of `with_decoder`."""

    def write(changes=None, **beside):
        torch.save(with_decoder(changes, **beside), tmp_path / "e.pt")
        return tmp_path / "e.pt"

    return write


def test_encoder_and_decoder_of_one_file(file):
    backbone = load_backbone("gan_inversion", file(opts={"dataset_type": "small"}))
    assert backbone.fixed_size == (32, 32)
    ours = generator().state_dict()
    theirs = backbone.network.generator.state_dict()
    assert all(torch.equal(theirs[name], value) for name, value in ours.items() if name != "mapping.w_avg")
    assert torch.equal(backbone.network.latent_avg, AVERAGE)


@pytest.mark.parametrize("average", [AVERAGE[:1], AVERAGE[0]])
def test_a_mean_code_may_be_one_for_all_layers(average, file):
    backbone = load_backbone("gan_inversion", file(latent_avg=average))
    assert torch.equal(backbone.network.latent_avg, AVERAGE[:1].expand(8, -1))


def test_codes_that_begin_at_zero_have_no_mean(file):
    path = file(latent_avg=None, opts={"start_from_latent_avg": False})
    assert not load_backbone("gan_inversion", path).network.latent_avg.any()


@pytest.mark.parametrize(
    ("changes", "beside", "message"),
    [
        ({}, {"latent_avg": None}, "no latent_avg, which is added to the codes"),
        ({}, {"latent_avg": torch.zeros(0, 5)}, "not a mean code"),
        ({}, {"latent_avg": torch.zeros(7, 5)}, r"the mean code is of shape \(7, 5\), not \(8, 5\)"),
        ({"decoder.input.input": None}, {}, "not a generator in rosinality's layout"),
        ({"decoder.conv1.noise.weight": None}, {}, "lacks"),
        ({"decoder.style.1.weight": torch.ones(6, 5)}, {}, "another shape"),
        ({"encoder.styles.7.linear.bias": torch.ones(6)}, {}, "another shape"),
        ({"encoder.styles.0.linear.weight": torch.ones(0, 5)}, {}, "not an e4e encoder"),
        (
            {name: None for name in published()["state_dict"] if name.startswith("encoder.styles.7")},
            {"latent_avg": AVERAGE[:7]},
            "the encoder gives 7 codes of 5 numbers, the generator takes 8 of 5",
        ),
    ],
)
def test_files_whose_parts_do_not_fit(changes, beside, message, file):
    with pytest.raises(InputError, match=message) as error:
        load_backbone("gan_inversion", file(changes, **beside))
    assert "\n" not in str(error.value)


def test_a_file_without_decoder_says_who_reads_it(tmp_path):
    torch.save(published(), tmp_path / "e.pt")
    with pytest.raises(InputError, match=r"an e4e file without its decoder.*--backbone gan_encoder reads such files"):
        load_backbone("gan_inversion", tmp_path / "e.pt")
    assert load_backbone("gan_encoder", tmp_path / "e.pt").stride == 16
