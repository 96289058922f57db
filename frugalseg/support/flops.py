"""Floating-point operations, counted as torch dispatches them."""

from contextlib import nullcontext
from typing import Any


class _WholeOnly(nullcontext[None]):
    """Stands in for torch's record of which module is at work; all operations count for the whole."""

    parents = frozenset({"Global"})


def flop_counter() -> Any:
    """A context manager that counts operations; afterwards `get_total_flops` gives them.

    Counted are matrix products, convolutions and attention (two operations a multiply-add, as
    `torch.utils.flop_counter.FlopCounterMode` has it), whatever the number format; not what is done to every element.
    """
    # The command line must not wait for torch.
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

    # torch 2.11 leaves out the attention of CPUs; newer versions count it just so.
    attention = "_scaled_dot_product_flash_attention_for_cpu"
    mapping = {
        getattr(torch.ops.aten, attention): lambda *s, **_: sdpa_flop_count(*s[:3]),
        getattr(torch.ops.aten, f"{attention}_backward"): lambda *s, **_: sdpa_backward_flop_count(*s[:4]),
    }
    counter: Any = FlopCounterMode(display=False, custom_mapping=mapping)
    # That record fails where gradients for an input are differentiated again, as gradient penalties do.
    counter.mod_tracker = _WholeOnly()
    return counter
