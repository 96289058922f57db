"""A family that draws and cannot look goes the whole way of DatasetGAN."""

import pytest

from frugalseg.backbones import load_backbone
from frugalseg.backbones.registry import FAMILIES, register
from tests.backbones.battery import DrawingChecks
from tests.backbones.blind_family import FAMILY


@pytest.fixture(scope="module", autouse=True)
def registered():
    """Only here: other tests expect the families of the package alone."""
    register(FAMILY)
    yield
    del FAMILIES[FAMILY.name]


class TestBattery(DrawingChecks):
    @pytest.fixture(scope="class")
    def backbone(self):
        return load_backbone("paint")
