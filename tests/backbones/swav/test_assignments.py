"""Sinkhorn-Knopp against a literal reference, the loss against its formula, and both over two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from frugalseg.backbones.swav.assignments import relative_entropy_of, sinkhorn, swapped_prediction
from frugalseg.training.batch_norm import GlobalBatchNorm, fixed_statistics

IMAGES, PROTOTYPES, DIM = 12, 5, 4


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def literal_sinkhorn(scores, epsilon, iterations):
    """Algorithm 1 of Caron et al. 2020 (appendix A), number by number, for one (B, K) matrix."""
    q = [[pow(2.718281828459045, float(s) / epsilon) for s in column] for column in scores.double().t()]  # K x B
    total = sum(map(sum, q))
    q = [[v / total for v in row] for row in q]
    for _ in range(iterations):
        q = [[v / sum(row) / len(q) for v in row] for row in q]
        sums = [sum(column) for column in zip(*q, strict=True)]
        q = [[v / s / len(sums) for v, s in zip(row, sums, strict=True)] for row in q]
    return torch.tensor(q).t() * len(scores)


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.5, 1), (0.02, 10)])
def test_sinkhorn_is_the_literal_algorithm(epsilon, iterations):
    scores = unit(2, IMAGES, DIM) @ unit(PROTOTYPES, DIM, seed=1).t()
    ours = sinkhorn(scores, epsilon, iterations)
    for given, values in zip(scores, ours, strict=True):
        torch.testing.assert_close(values, literal_sinkhorn(given, epsilon, iterations), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("epsilon", [0.02, 0.005, 1e-3, 1e-6])
def test_sharp_assignments_are_those_of_more_digits(epsilon):
    """In float32 whole columns, and whole rows of those that are like no prototype, are 0 before the first sum."""
    scores = unit(2, IMAGES, DIM) @ unit(PROTOTYPES, DIM, seed=1).t()
    scores[0, 0], scores[1, :, 0] = -0.9, -0.9
    exact = scores.double().div(epsilon).log_softmax(-2).log_softmax(-1)
    for _ in range(2):
        exact = exact.log_softmax(-2).log_softmax(-1)
    torch.testing.assert_close(sinkhorn(scores, epsilon, 3), exact.exp().float(), atol=1e-5, rtol=1e-3)


def test_usual_epsilons_keep_their_assignments_bit_by_bit():
    scores = unit(2, IMAGES, DIM) @ unit(PROTOTYPES, DIM, seed=1).t()
    for epsilon in (0.03, 0.05):
        plain = ((scores - scores.amax(dim=(-2, -1), keepdim=True)) / epsilon).exp()
        for _ in range(3):
            plain = plain * (IMAGES / PROTOTYPES / plain.sum(-2, keepdim=True))
            plain = plain / plain.sum(-1, keepdim=True)
        assert torch.equal(sinkhorn(scores, epsilon, 3), plain)


def test_assignments_use_all_prototypes_alike():
    scores = unit(IMAGES, DIM) @ unit(PROTOTYPES, DIM, seed=1).t()
    assignments = sinkhorn(scores, 0.05, 100)
    torch.testing.assert_close(assignments.sum(1), torch.ones(IMAGES))
    torch.testing.assert_close(assignments.sum(0), torch.full((PROTOTYPES,), IMAGES / PROTOTYPES), atol=1e-3, rtol=0)


def test_assignments_without_information():
    collapsed = torch.full((IMAGES, PROTOTYPES), 0.3)
    assert torch.allclose(sinkhorn(collapsed, 0.05, 3), torch.tensor(1 / PROTOTYPES))
    assert float(relative_entropy_of(sinkhorn(collapsed, 0.05, 3))) == pytest.approx(1)
    assert float(relative_entropy_of(torch.eye(PROTOTYPES))) == pytest.approx(0, abs=1e-6)


def test_the_loss_swaps_views():
    logits = torch.randn(4, 3, PROTOTYPES, generator=torch.Generator().manual_seed(0))
    targets = torch.softmax(torch.randn(2, 3, PROTOTYPES, generator=torch.Generator().manual_seed(1)), dim=-1)
    terms = [
        F.cross_entropy(logits[view], targets[large])
        for large, view in [(0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (1, 3)]
    ]
    torch.testing.assert_close(swapped_prediction(logits, targets), torch.stack(terms).mean())
    collapsed = swapped_prediction(torch.zeros(4, 3, PROTOTYPES), targets)
    torch.testing.assert_close(collapsed, torch.tensor(float(PROTOTYPES)).log())


def test_fixed_statistics():
    norm = GlobalBatchNorm(3)
    with fixed_statistics(norm):
        norm(torch.randn(4, 3, 2, 2))
    assert torch.equal(norm.running_mean, torch.zeros(3))
    assert norm.momentum == 0.1
    norm(torch.randn(4, 3) + 1)
    assert norm.running_mean.abs().min() > 0


# Each process works on its half of the very batch that the test gives to one; the first writes what came out.
TWO = """
import sys
import torch
import torch.distributed as dist
from frugalseg.backbones.swav.assignments import global_batch, sinkhorn, swapped_prediction
from tests.backbones.swav.test_assignments import normalised, PROTOTYPES, DIM, unit, views

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
features = views()[:, rank::2]
prototypes = unit(PROTOTYPES, DIM, seed=1)
assignments = sinkhorn(global_batch(features[:2]) @ prototypes.t(), 0.05, 3)
loss = swapped_prediction(features @ prototypes.t() / 0.1, assignments[:, rank::2]) / 2
dist.all_reduce(loss)
found = normalised(rank, 2)
for values in found["gradients"]:
    dist.all_reduce(values)
torch.save({"assignments": assignments, "loss": loss, **found}, f"{folder}/rank{rank}.pt")
dist.destroy_process_group()
"""


def views():
    return unit(3, IMAGES, DIM, seed=2)


def normalised(rank, processes):
    """What batch normalisation of this rank's part gives and learns, under a loss that mixes the channels."""
    whole = 3 + 2 * torch.randn(IMAGES, 3, 2, 2, generator=torch.Generator().manual_seed(3))
    part = whole[rank::processes].clone().requires_grad_()
    norm = GlobalBatchNorm(3)
    out = norm(part)
    (out.sin() * out.roll(1, dims=1)).sum().backward()
    return {
        "input_gradient": part.grad,
        "gradients": [norm.weight.grad, norm.bias.grad],
        "out": out.detach(),
        "statistics": torch.stack([norm.running_mean, norm.running_var]),
    }


def test_two_processes_assign_and_normalise_as_one(tmp_path):
    (tmp_path / "script.py").write_text(TWO)
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    commands = [[sys.executable, str(tmp_path / "script.py"), str(tmp_path), str(rank)] for rank in range(2)]
    ranks = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
    for rank in ranks:
        _, errors = rank.communicate(timeout=300)
        assert rank.returncode == 0, errors[-2000:]

    scores = views() @ unit(PROTOTYPES, DIM, seed=1).t()
    assignments = sinkhorn(scores[:2], 0.05, 3)
    one = normalised(0, 1)
    for rank in range(2):
        found = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        assert torch.equal(found["assignments"], assignments)
        torch.testing.assert_close(found["loss"], swapped_prediction(scores / 0.1, assignments))
        torch.testing.assert_close(found["out"], one["out"][rank::2])
        torch.testing.assert_close(found["input_gradient"], one["input_gradient"][rank::2])
        torch.testing.assert_close(found["statistics"], one["statistics"])
        for ours, expected in zip(found["gradients"], one["gradients"], strict=True):
            torch.testing.assert_close(ours, expected)
