"""What this machine's processor can compute with."""

import logging
import re
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = frozenset(("amx_bf16", "avx512_bf16", "bf16", "svebf16"))
"""What the kernel calls the instructions that multiply matrices in bf16: two names on x86, two on ARM."""


def multiplies_bf16(cpuinfo: Path | None = None) -> bool | None:
    """Whether the processor has instructions for products in bf16; without them bf16 is slower than float32.

    Args:
        cpuinfo: the kernel's description of the processors; None: `CPUINFO`.

    Returns:
        None where no such description is there.
    """
    try:
        text = (cpuinfo or CPUINFO).read_text(errors="replace")
    except OSError:
        return None
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return None if flags is None else not BF16_FLAGS.isdisjoint(flags[1].split())


def slow_in_bf16(device: str, precision: str, cpuinfo: Path | None = None) -> bool:
    """Whether a computation on a device is in bf16 although float32 would be faster."""
    return precision == "bf16" and device.startswith("cpu") and multiplies_bf16(cpuinfo) is False


@cache
def warn_of_slow_bf16() -> None:
    """Say once that bf16 does not pay on this processor."""
    log.warning(
        "bf16 is slower than fp32 on this processor, which has no instructions for it; --precision fp32 is faster"
    )
