"""The names of number formats: one table, one message, no torch for those who only check a setting."""

import subprocess
import sys

import pytest
import torch

from frugalseg.support.errors import InputError
from frugalseg.support.precision import PRECISIONS, check_precision, dtype_of, precision_of, tf32_products


def test_names_and_dtypes_are_the_same_thing():
    assert [dtype_of(name) for name in PRECISIONS] == [torch.float32, torch.bfloat16, torch.float16]
    assert [precision_of(dtype_of(name)) for name in PRECISIONS] == list(PRECISIONS)
    with pytest.raises(ValueError, match=r"torch\.float64"):
        precision_of(torch.float64)


@pytest.mark.parametrize("check", [check_precision, dtype_of])
def test_an_unknown_name_is_told_the_known_ones(check):
    with pytest.raises(InputError, match="precision 'fp8' is unknown; give fp32, bf16 or fp16"):
        check("fp8")


def test_a_setting_is_checked_without_torch():
    code = "import sys; from frugalseg.support.precision import check_precision; check_precision('bf16')\n"
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("device", "inside"), [("cpu", "highest"), ("mps", "highest"), ("cuda", "high")])
def test_tf32_is_for_cuda_alone_and_ends_with_the_block(device, inside):
    assert torch.get_float32_matmul_precision() == "highest"
    with pytest.raises(KeyError), tf32_products(device):
        assert torch.get_float32_matmul_precision() == inside
        raise KeyError
    assert torch.get_float32_matmul_precision() == "highest"
