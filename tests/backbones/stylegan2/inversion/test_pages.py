"""A person sees whether inversion worked: originals beside what is drawn, in the model's folder and on pages."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from frugalseg.backbones import load_backbone
from frugalseg.backbones.stylegan2.encoder.pair import save_inverter
from frugalseg.classifier.protocol import PROTOCOLS
from frugalseg.data.classes import ClassTable
from frugalseg.jobs.evaluate import evaluate_folder
from frugalseg.jobs.fit import FitRequest, fit_folder
from frugalseg.jobs.generate import GenerateRequest, annotation_folder
from frugalseg.segmenter import Segmenter
from tests.backbones.stylegan2.inversion.helpers import inverter
from tests.data.helpers import data_folder, halves, picture

FAST = {"members": 1, "protocol": replace(PROTOCOLS["default"], steps=2)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = data_folder(tmp_path_factory.mktemp("data"), [halves(0, 1, 40, 48), halves(1, 0, 40, 48)])
    ClassTable.from_ids([0, 1]).to_json(folder / "classes.json")
    return folder


def test_originals_are_shown_beside_what_is_drawn(data, tmp_path):
    save_inverter(inverter(), tmp_path / "e4e")
    fit_folder(FitRequest(data, "gan_inversion", str(tmp_path / "e4e"), {}, FAST), tmp_path / "model")
    evaluate_folder(tmp_path / "model", data, tmp_path / "evaluation")
    page = (tmp_path / "evaluation" / "index.html").read_text()
    assert "What the network draws" in page and "drawn" in page
    grid = np.asarray(Image.open(tmp_path / "model" / "reconstructions.png"))
    # Two images in two rows, 32 pixels each with lines of one pixel around them, three times enlarged.
    assert grid.shape == (3 * (2 * 33 + 1), 3 * (2 * 33 + 1), 3)
    model = Segmenter.from_pretrained(tmp_path / "model")
    seen, drawn = model.reconstructions([picture(0, 40, 48), picture(1, 40, 48)])
    cells = torch.from_numpy(grid[1::3, 1::3].copy()).float() / 255
    for row, images in enumerate((seen, drawn)):
        for column, image in enumerate(images):
            cell = cells[1 + 33 * row : 33 + 33 * row, 1 + 33 * column : 33 + 33 * column]
            assert (cell.permute(2, 0, 1) - image).abs().max() < 1 / 255
    torch.testing.assert_close(drawn, model.backbone.reconstructions(seen), atol=1e-5, rtol=1e-5)


def test_images_that_it_drew_itself_are_not_shown_as_an_encoder_sees_them(tmp_path, caplog):
    """A bare network, whose folder names the family of the encoder, draws images for annotators."""
    save_inverter(inverter(), tmp_path / "e4e")
    ClassTable.from_ids([0, 1]).to_json(tmp_path / "classes.json")
    request = GenerateRequest(str(tmp_path / "e4e"), for_annotation=2, classes=tmp_path / "classes.json")
    assert annotation_folder(request, tmp_path / "drawn") == 2
    assert "--backbone gan_inversion --checkpoint" in (tmp_path / "drawn" / "README.txt").read_text()
    for path in (tmp_path / "drawn" / "masks").iterdir():
        Image.fromarray(np.repeat(np.uint8([[0], [1]]), 16, 0).repeat(32, 1)).save(path)
    fit = FitRequest(tmp_path / "drawn", "gan_inversion", str(tmp_path / "e4e"), {}, FAST)
    fit_folder(fit, tmp_path / "model")
    evaluate_folder(tmp_path / "model", tmp_path / "drawn", tmp_path / "evaluation")
    assert not (tmp_path / "model" / "reconstructions.png").exists()
    assert "What the network draws" not in (tmp_path / "evaluation" / "index.html").read_text()
    with caplog.at_level(logging.INFO):
        fit_folder(replace(fit, settings={**FAST, "mirror": True}), tmp_path / "mirrored")
    assert (tmp_path / "mirrored" / "reconstructions.png").exists()
    assert "looked at like photographs: the settings, such as mirror or tile, ask for another view" in caplog.text


def test_other_networks_and_windows_are_not_drawn_again(tmp_path):
    save_inverter(inverter(), tmp_path)
    images = [picture(0, 40, 48)]
    assert Segmenter(load_backbone("colour")).reconstructions(images) is None
    assert Segmenter(load_backbone("gan_inversion", tmp_path), tile=True).reconstructions(images) is None
