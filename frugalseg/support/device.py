"""The device that a command runs on, and what is said when its memory is full."""

import sys
from typing import TYPE_CHECKING

from frugalseg.support.errors import InputError
from frugalseg.support.text import quoted, shortened

if TYPE_CHECKING:
    import torch

NO_MEMORY = "the GPU has no memory left; run the command again with a smaller --batch-size, or with --device cpu"


def choose_device(name: str) -> str:
    """`name`, or for ``auto`` the GPU if there is one; `InputError` for no device, or one that this machine lacks."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError:
        known = "auto, cpu, cuda, cuda:1 (the second GPU) or mps"
        raise InputError(f"--device {shortened(name, 80)}: not the name of a device; give {known}") from None
    try:
        torch.empty(1, device=name).cpu()  # the device meta takes tensors, and gives none back
    except out_of_memory():
        raise
    # Names of devices that torch was not built for end in RuntimeError, AssertionError, ImportError, ...
    except Exception:
        raise InputError(
            f"--device {shortened(name, 80)}: not available on this machine; leave it out, or use cpu"
        ) from None
    return name


def as_device(device: "str | torch.device") -> "torch.device":
    """What a Python program gives as a device; `InputError` for one that this machine lacks."""
    import torch

    try:
        found = torch.device(device)
        torch.empty(1, device=found).cpu()
    except out_of_memory():
        raise
    except Exception:  # as above
        raise InputError(f"device is {quoted(device)}; give one that this machine has, such as cpu") from None
    return found


def out_of_memory() -> tuple[type[Exception], ...]:
    """What torch raises where a device's memory does not suffice; nothing while torch, which takes long, is not loaded.

    For ``except``, which evaluates its expression only once something was raised.
    """
    torch = sys.modules.get("torch")
    return () if torch is None else (torch.OutOfMemoryError,)
