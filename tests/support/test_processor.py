"""Which processors multiply in bf16; the texts are shortened from those of real machines."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from frugalseg.backbones.colour.backbone import ColourBackbone
from frugalseg.backbones.colour.settings import ColourOptions
from frugalseg.support import processor
from frugalseg.support.processor import multiplies_bf16, slow_in_bf16, warn_of_slow_bf16

MILAN = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nflags\t\t: fpu sse4_2 avx2 fma bmi2 vaes\nbugs\t\t: bf16\n"
SAPPHIRE = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_bf16 amx_tile amx_int8\n"
GENOA = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"
SKYLAKE = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512bw\n"
GRAVITON_2 = "processor\t: 0\nFeatures\t: fp asimd aes crc32 asimddp\n"
GRAVITON_3 = "processor\t: 0\nFeatures\t: fp asimd sve i8mm bf16 dgh\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (MILAN, False),
        (SAPPHIRE, True),
        (GENOA, True),
        (SKYLAKE, False),
        (GRAVITON_2, False),
        (GRAVITON_3, True),
        ("", None),
        ("processor\t: 0\n", None),
    ],
)
def test_the_flags_of_processors(text: str, found: bool | None, tmp_path: Path):
    (tmp_path / "cpuinfo").write_text(text)
    assert multiplies_bf16(tmp_path / "cpuinfo") is found
    assert slow_in_bf16("cpu", "bf16", tmp_path / "cpuinfo") == (found is False)
    assert not slow_in_bf16("cpu", "fp32", tmp_path / "cpuinfo")
    assert not slow_in_bf16("cuda:0", "bf16", tmp_path / "cpuinfo")


def test_a_system_without_the_file_is_not_judged(tmp_path: Path):
    assert multiplies_bf16(tmp_path) is None  # a folder, or nothing: neither can be read
    assert multiplies_bf16(tmp_path / "cpuinfo") is None


class WithWeights(ColourBackbone):
    """A network of no use, which has weights in a given format."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__(ColourOptions())
        self.weight = nn.Parameter(torch.ones(1, dtype=dtype))


@pytest.mark.parametrize(("dtype", "lines"), [(torch.bfloat16, 1), (torch.float32, 0)])
def test_a_network_in_bf16_is_warned_of_once(
    dtype: torch.dtype,
    lines: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    (tmp_path / "cpuinfo").write_text(MILAN)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    warn_of_slow_bf16.cache_clear()
    image: Tensor = torch.zeros(1, 3, 8, 8)
    with caplog.at_level(logging.WARNING, processor.__name__):
        for _ in range(3):
            WithWeights(dtype)(image)
    assert [record.message.count("bf16") for record in caplog.records] == [1] * lines
