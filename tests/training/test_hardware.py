"""Where a training runs: what is refused, and which process is the first."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric.accelerators.mps import MPSAccelerator
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.accelerators import CPUAccelerator

from frugalseg.support.errors import InputError
from frugalseg.support.precision import Precision
from frugalseg.training.hardware import Hardware, check_hardware, is_first_process

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
SLURM = {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NAME": "train"}


@pytest.mark.parametrize(
    ("hardware", "precision", "batch_size", "message"),
    [
        (Hardware("tpu"), "fp32", 4, "unknown"),
        (Hardware("cpu:1"), "fp32", 4, "unknown"),
        (Hardware("cuda:99"), "fp32", 4, "not there"),
        (Hardware("cuda:²"), "fp32", 4, "unknown"),
        (Hardware("cpu", devices=2), "fp32", 3, "over 2 devices"),
        (Hardware("cpu", devices=2, nodes=2), "fp32", 6, "over 4 devices"),
        (Hardware("cpu", devices=0), "fp32", 4, "cannot be split"),
        (Hardware("cpu"), "fp16", 4, "fp16"),
    ],
)
def test_impossible_hardware_is_refused(
    hardware: Hardware, precision: Precision, batch_size: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_hardware(hardware, precision, batch_size)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="it is there")
def test_apples_gpus_are_refused_where_there_are_none() -> None:
    with pytest.raises(InputError, match="device 'mps' is not there"):
        check_hardware(Hardware("mps"), "fp32", 4)


def test_apples_gpu_is_a_single_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    check_hardware(Hardware("mps"), "fp32", 4)
    with pytest.raises(InputError, match="2 devices were asked for, 1 are there; give fewer"):
        check_hardware(Hardware("mps", devices=2), "fp32", 4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it comes first")
@pytest.mark.filterwarnings("ignore:GPU available but not used")
@pytest.mark.parametrize("devices", [1, 2])
def test_apples_gpu_is_taken_where_it_is_named_alone(devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are chosen for a CPU where ``auto`` is given, and several processes cannot share Apple's GPU."""
    monkeypatch.setattr(MPSAccelerator, "is_available", lambda: True)
    arguments = Hardware("auto", devices).trainer_arguments()
    trainer = pl.Trainer(**arguments, logger=False, enable_checkpointing=False)
    assert isinstance(trainer.accelerator, CPUAccelerator) and trainer.world_size == devices
    assert Hardware("mps").trainer_arguments()["accelerator"] == "mps"


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"NODE_RANK": "0", "LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "1"}, False),
        (TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}, True),
        (TORCHRUN | {"RANK": "1", "LOCAL_RANK": "1", "GROUP_RANK": "0"}, False),
        (TORCHRUN | {"RANK": "2", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        (SLURM | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}, True),
        (SLURM | {"SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1"}, False),
    ],
)
def test_the_first_of_all_processes_is_lightnings(
    environment: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == first
    trainer = pl.Trainer(
        **Hardware("cpu", devices=2, nodes=2).trainer_arguments(), logger=False, enable_checkpointing=False
    )
    assert (trainer.is_global_zero, trainer.world_size) == (first, 4)
