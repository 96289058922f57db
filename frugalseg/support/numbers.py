"""Values that are no numbers, as a failed training or a damaged file leaves them."""

import torch
from torch import Tensor


def has_nan(values: Tensor) -> bool:
    """Whether any value of a tensor is no number (NaN). Infinite ones are numbers here."""
    if not (values.is_floating_point() or values.is_complex()):
        return False
    # A sum is no finite number if a value is none; it takes less time and memory than a look at each.
    total = values.sum(dtype=torch.promote_types(values.dtype, torch.float32))
    return not bool(total.isfinite()) and bool(values.isnan().any())
