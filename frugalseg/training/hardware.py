"""Where a training runs: its devices, by the names that users give them, and which of its processes this one is."""

from dataclasses import dataclass
from typing import Any

from frugalseg.support.errors import InputError
from frugalseg.support.precision import Precision

LIGHTNING_PRECISIONS: dict[Precision, str] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""What Lightning calls each precision; the weights are float32 in all of them."""


@dataclass(frozen=True)
class Hardware:
    """The devices of a training.

    Attributes:
        device: ``auto`` (a CUDA device where there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        devices: processes on this machine that share each batch, one for each GPU.
        nodes: machines that share each batch, each with so many processes.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.partition(":")[0]

    @property
    def number(self) -> str:
        """The number of the device, where one is given."""
        return self.device.partition(":")[2]

    @property
    def processes(self) -> int:
        """All processes of the training."""
        return self.devices * self.nodes

    @property
    def accelerator(self) -> str:
        """What Lightning calls the device; its own ``auto`` would be Apple's GPU, for which nothing else is chosen."""
        import torch

        automatic = "gpu" if torch.cuda.is_available() else "cpu"
        return {"auto": automatic, "cuda": "gpu"}.get(self.kind, self.kind)

    def trainer_arguments(self) -> dict[str, Any]:
        """The arguments of the Lightning trainer that say where it runs."""
        return {
            "accelerator": self.accelerator,
            "devices": [int(self.number)] if self.number else self.devices,
            "num_nodes": self.nodes,
            "strategy": "ddp" if self.processes > 1 else "auto",
        }


def check_hardware(hardware: Hardware, precision: Precision, batch_size: int) -> None:
    """Raise `InputError` where this machine cannot carry out a training with such batches as asked."""
    on_gpu = _check_devices(hardware)
    if min(hardware.devices, hardware.nodes) < 1 or batch_size % hardware.processes:
        raise InputError(
            f"a batch of {batch_size} images cannot be split over {hardware.processes} devices; "
            "give a number of devices that divides it"
        )
    if precision == "fp16" and not on_gpu:
        raise InputError("precision fp16 trains on CUDA devices only; give bf16 or fp32")


def _check_devices(hardware: Hardware) -> bool:
    """Whether the training runs on CUDA devices; `InputError` for a device that is unknown, or not there."""
    import torch

    device, kind, number, gpus = hardware.device, hardware.kind, hardware.number, torch.cuda.device_count()
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdecimal())):
        raise InputError(f"device {device!r} is unknown; give auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and gpus <= int(number or 0):
        raise InputError(f"device {device!r} is not there ({gpus} CUDA devices found); give another, or auto")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"device {device!r} is not there; give another, or auto")
    on_gpu = kind == "cuda" or (kind == "auto" and gpus > 0)
    here = 1 if number or kind == "mps" else gpus
    if (on_gpu or kind == "mps") and hardware.devices > here:
        raise InputError(f"{hardware.devices} devices were asked for, {here} are there; give fewer")
    return on_gpu


def is_first_process() -> bool:
    """Whether this is the first of all processes of a training, over all machines.

    It looks where Lightning looks, in the same order, so that both agree before there is a trainer to ask. Lightning's
    own launcher sets ``NODE_RANK`` and ``LOCAL_RANK``, torchrun sets ``RANK``.
    """
    # Reading a run folder needs no Lightning.
    from lightning.pytorch.plugins.environments import (
        LightningEnvironment,
        LSFEnvironment,
        MPIEnvironment,
        SLURMEnvironment,
        TorchElasticEnvironment,
    )

    for environment in (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment):
        if environment.detect():
            return bool(environment().global_rank() == 0)
    plain = LightningEnvironment()
    return bool(plain.node_rank() == 0 and plain.local_rank() == 0)
