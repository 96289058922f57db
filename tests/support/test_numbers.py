import math

import pytest
import torch

from frugalseg.support.numbers import has_nan


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_single_value_that_is_no_number_is_found_among_any_others(dtype):
    for others in ([1.0, -2.0], [math.inf], [math.inf, -math.inf], [torch.finfo(dtype).max] * 4):
        values = torch.tensor([*others, 0.0], dtype=dtype)
        assert not has_nan(values)
        values[-1] = math.nan
        assert has_nan(values)


def test_whole_numbers_are_numbers():
    assert not has_nan(torch.tensor([2**62, 2**62]))
    assert not has_nan(torch.empty(0))
