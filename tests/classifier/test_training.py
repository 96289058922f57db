"""Joint training against each member alone and against the literal loop; stopping, resuming, pools of pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks import literal
from frugalseg.classifier.batches import Orders, OwnPermutations, SharedPools
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.training import (
    PROTOCOLS,
    TrainingHistory,
    TrainingProgress,
    TrainingProtocol,
    train_ensemble,
    training_protocol,
)
from frugalseg.support.errors import InputError

CLASSES = 3
PAPER = replace(PROTOCOLS["paper"], epochs=8, patience=3)
DEFAULT = replace(PROTOCOLS["default"], steps=60, batch_size=32, pool_values=100 * 6, class_balance=0.5)
WATCHFUL = replace(DEFAULT, name="watchful", learning_rate=0.03, watch="validation", watch_every=2, patience=1)


class Pixels:
    """A pixel source in memory that counts what is gathered."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.values, self.labels = features, labels
        self.channels = (features.shape[1] - 2, 2)
        self.dim = features.shape[1]
        self.gathered = 0

    def __len__(self) -> int:
        return len(self.labels)

    def features(self, index: Tensor) -> Tensor:
        self.gathered += len(index)
        return self.values[index]


def noisy_pixels(count: int = 320, seed: int = 0) -> Pixels:
    """Classes that overlap, so that the loss stays rough and members stop at different times."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    features = torch.randn(count, 6, generator=generator) * 2 + labels[:, None] * torch.tensor([3.0, 1, 0, 0, -2, 5])
    return Pixels(features, labels)


def fit(protocol: TrainingProtocol, **options: object) -> tuple[PixelClassifier, TrainingHistory]:
    settings_ = {"members": 4, "seed": 3, "precision": torch.float64, **options}
    return train_ensemble(noisy_pixels(), CLASSES, protocol, validation=noisy_pixels(seed=9), **settings_)


def same_weights(first: PixelClassifier, second: PixelClassifier, **tolerance: float) -> None:
    for name, values in first.state_dict().items():
        torch.testing.assert_close(values, second.state_dict()[name], **tolerance)


@pytest.mark.parametrize("protocol", [PAPER, DEFAULT, WATCHFUL], ids=lambda p: p.name)
def test_a_member_ends_as_if_it_were_alone(protocol: TrainingProtocol):
    joint, history = fit(protocol)
    if protocol.patience is not None:
        assert len(set(history.stopped_at)) > 1, "the members should stop at different times for this test to bite"
    for member in range(4):
        alone, its_history = fit(protocol, which_members=[member])
        assert its_history.stopped_at == [history.stopped_at[member]]
        same_weights(alone, joint.select([member]), rtol=1e-6, atol=1e-8)


def test_members_differ():
    joint, _ = fit(DEFAULT)
    assert not torch.allclose(joint.linear1.weight[0], joint.linear1.weight[1], atol=1e-2)


def test_paper_protocol_is_the_literal_loop():
    pixels = noisy_pixels(640)
    joint, history = train_ensemble(pixels, CLASSES, PROTOCOLS["paper"], members=2, seed=1, precision=torch.float64)
    assert all(count < 1000 for count in history.stopped_at), "both should stop early for this test to bite"
    for member in range(2):
        start = PixelClassifier(pixels.channels, CLASSES, 1)
        start.reset(1, [member])
        model = start.double().member(0)
        orders = Orders(len(pixels), seed=1)
        features = pixels.values.double()
        report = literal.train(model, features, pixels.labels, order=lambda epoch, o=orders, m=member: o(m, epoch))
        assert report.iterations == history.stopped_at[member]
        for ours, theirs in zip(joint.member(member).parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_interpolating_once_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    """The paper's protocol reads every pixel in every epoch, from memory where the features fit into it."""
    ends, gathered = [], []
    for limit in (10**9, 0):
        monkeypatch.setattr("frugalseg.classifier.preparation.GATHERED", limit)
        pixels = noisy_pixels()
        ends.append(train_ensemble(pixels, CLASSES, PAPER, members=2)[0])
        gathered.append(pixels.gathered)
    same_weights(*ends, rtol=0, atol=0)
    assert gathered[0] == 320 and gathered[1] > 2 * 320


def test_single_precision_stays_near_the_literal_loop():
    pixels, protocol = noisy_pixels(640), replace(PROTOCOLS["paper"], epochs=None, steps=25)
    joint, _ = train_ensemble(pixels, CLASSES, protocol, members=2, seed=1)
    start = PixelClassifier(pixels.channels, CLASSES, 1)
    start.reset(1, [1])
    model, orders = start.member(0), Orders(len(pixels), seed=1)
    literal.train(model, pixels.values, pixels.labels, order=lambda epoch: orders(1, epoch), max_iterations=25)
    for ours, theirs in zip(joint.member(1).parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


class Killed(Exception):
    """Stands for a kill in the middle of a run."""


@pytest.mark.parametrize("protocol", [PAPER, DEFAULT, WATCHFUL], ids=lambda p: p.name)
@pytest.mark.parametrize("when", ["at once", "before one stops", "before the last stops"])
def test_a_killed_run_goes_on_to_the_same_end(protocol: TrainingProtocol, when: str, tmp_path: Path):
    expected, expected_history = fit(protocol)
    first, last = min(expected_history.stopped_at), max(expected_history.stopped_at)
    kill_at = {"at once": 1, "before one stops": first - 1, "before the last stops": last - 1}[when]
    state, seen = tmp_path / "state.pt", []

    def kill(progress: TrainingProgress) -> None:
        if progress.step == kill_at:
            raise Killed

    with pytest.raises(Killed):
        fit(protocol, checkpoint=state, checkpoint_seconds=0, progress=kill)
    resumed, history = fit(protocol, checkpoint=state, checkpoint_seconds=0, progress=lambda p: seen.append(p.step))
    assert seen[0] == kill_at + 1
    same_weights(resumed, expected, rtol=0, atol=0)
    assert history.stopped_at == expected_history.stopped_at
    assert history.losses == expected_history.losses
    again, _ = fit(protocol, checkpoint=state)  # a finished run is read, not repeated
    same_weights(again, expected, rtol=0, atol=0)


def test_state_of_another_training_is_refused(tmp_path: Path):
    state = tmp_path / "state.pt"
    fit(DEFAULT, checkpoint=state, checkpoint_seconds=0)
    with pytest.raises(InputError, match=r"belongs to a training with other protocol batch_size, seed; delete it"):
        fit(replace(DEFAULT, batch_size=16), seed=4, checkpoint=state)
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"state\.pt: a damaged state of a training .*; delete it"):
        fit(DEFAULT, checkpoint=state)


@pytest.mark.parametrize("name", ["paper", "default"])
def test_both_protocols_learn(name: str):
    protocol = replace(training_protocol(name), steps=80, epochs=None)
    pixels = noisy_pixels(2000)
    classifier, history = train_ensemble(pixels, CLASSES, protocol, members=3)
    assert not classifier.training
    held_out = noisy_pixels(500, seed=7)
    accuracy = (classifier(held_out.values).argmax(-1) == held_out.labels).float().mean(1)
    assert accuracy.min() > 0.75
    assert history.losses[-1][1] < history.losses[0][1]


def test_progress_and_history_say_who_trains():
    reports: list[TrainingProgress] = []
    _, history = fit(PAPER, progress=reports.append)
    assert [report.step for report in reports] == list(range(1, max(history.stopped_at) + 1))
    for member, stopped in enumerate(history.stopped_at):
        assert all((member in report.active) == (report.step <= stopped) for report in reports)
    assert history.to_json()["stopped_at"] == history.stopped_at
    assert reports[0].steps == 8 * (320 // 64)


def test_watching_validation_keeps_the_best_weights():
    watched, history = fit(replace(WATCHFUL, patience=100))
    unwatched, _ = fit(replace(DEFAULT, learning_rate=WATCHFUL.learning_rate))
    held_out = noisy_pixels(seed=9)

    def losses(classifier: PixelClassifier) -> Tensor:
        logits = classifier(held_out.values.double())
        return torch.stack([torch.nn.functional.cross_entropy(member, held_out.labels) for member in logits])

    assert history.stopped_at == [60] * 4
    assert (losses(watched) <= losses(unwatched) + 1e-12).all()
    assert (losses(watched) < losses(unwatched)).any()


def test_without_a_validation_in_time_a_member_keeps_its_last_weights():
    unwatched, _ = fit(DEFAULT)
    for never in ({"watch_every": 1000, "patience": 1}, {"patience": None}):
        watched, _ = fit(replace(DEFAULT, watch="validation", **never))
        same_weights(watched, unwatched, rtol=0, atol=0)


def test_features_that_never_change_do_no_harm():
    pixels = noisy_pixels()
    pixels.values[:, 2] = 5
    classifier, _ = train_ensemble(pixels, CLASSES, DEFAULT, members=2)
    assert classifier.feature_scale[2] == 1
    assert all(values.isfinite().all() for values in classifier.state_dict().values())


def test_bfloat16_matrix_products_train():
    classifier, history = fit(DEFAULT, precision=torch.bfloat16)
    assert classifier.linear1.weight.dtype == torch.float32
    assert history.losses[-1][1] < history.losses[0][1]


@pytest.mark.parametrize("protocol", [PAPER, DEFAULT], ids=lambda p: p.name)
def test_fewer_pixels_than_a_batch(protocol: TrainingProtocol):
    few = noisy_pixels(5)
    classifier, _ = train_ensemble(few, CLASSES, protocol, members=2)
    assert all(values.isfinite().all() for values in classifier.state_dict().values())
    with pytest.raises(InputError, match="at least 2 annotated pixels, found 1"):
        train_ensemble(noisy_pixels(1), CLASSES, protocol)


def unchanged(features: Tensor) -> Tensor:
    return features


def test_own_permutations_visit_every_pixel_once_an_epoch():
    pixels = noisy_pixels(100)
    stream = OwnPermutations(pixels, 32, 0, unchanged)
    assert stream.steps_per_epoch == 3
    epoch = torch.cat([stream.batch(step, [0, 1])[0] for step in range(3)], dim=1)
    for member in range(2):
        assert len(epoch[member].unique(dim=0)) == 96
    assert not torch.equal(epoch[0], epoch[1])
    again = OwnPermutations(pixels, 32, 0, unchanged)
    assert torch.equal(again.batch(4, [1])[0][0], stream.batch(4, [0, 1])[0][1])


def test_pools_are_gathered_once_for_all_members():
    pixels = noisy_pixels(1000)
    stream = SharedPools(pixels, 32, 0, unchanged, size=128, passes=2, class_balance=0)
    for step in range(8):
        features, labels = stream.batch(step, range(5))
        assert features.shape == (5, 32, 6) and labels.shape == (5, 32)
    assert pixels.gathered == 128
    stream.batch(8, range(5))
    assert pixels.gathered == 256


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 300), st.floats(0, 1), st.integers(0, 1000))
def test_pools_of_any_balance_have_their_size(size: int, balance: float, number: int):
    pixels = noisy_pixels(150)
    stream = SharedPools(pixels, 8, 5, unchanged, size=size, passes=1, class_balance=balance)
    drawn = stream.draw(number)
    assert len(drawn) == min(size, 150)
    assert drawn.min() >= 0 and drawn.max() < 150
    if balance == 0:
        assert len(set(drawn.tolist())) == len(drawn)


def test_full_balance_draws_every_class_alike():
    labels = torch.cat([torch.zeros(900), torch.ones(99), torch.full((1,), 2)]).long()
    pixels = Pixels(torch.randn(1000, 4), labels)
    stream = SharedPools(pixels, 8, 0, unchanged, size=600, passes=1, class_balance=1)
    assert torch.bincount(labels[torch.from_numpy(stream.draw(0))]).tolist() == pytest.approx([200, 200, 200], abs=50)


def test_one_cycle_rises_and_ends_near_zero():
    protocol = TrainingProtocol(name="t", batch_size=8, learning_rate=0.1, schedule="one-cycle", warmup=0.25, steps=100)
    rates = [protocol.rate(step, 100) for step in range(100)]
    assert rates.index(max(rates)) == 25 and rates[25] == pytest.approx(0.1)
    assert rates[:26] == sorted(rates[:26]) and rates[25:] == sorted(rates[25:], reverse=True)
    assert 0 < rates[-1] < 1e-4


@pytest.mark.parametrize(
    "fault",
    [
        *({"batch_size": 1}, {"learning_rate": 0}, {"steps": None}, {"epochs": 3}, {"class_balance": 1.5}),
        *({"warmup": 1}, {"watch_every": 0}),
        *({"batch_size": "64"}, {"batch_size": 64.5}, {"pool_values": 2e6}, {"patience": 1.5}, {"warmup": None}),
        *({"label_smoothing": [0.1]}, {"standardise": "no"}, {"schedule": ["constant"]}, {"weight_decay": True}),
    ],
)
def test_settings_out_of_range_are_refused(fault: dict[str, object]):
    name = next(iter(fault)) if fault != {"epochs": 3} else "steps"
    with pytest.raises(InputError, match=f"training protocol 'default': {name}="):
        replace(PROTOCOLS["default"], **fault)


def test_settings_are_what_a_saved_model_gives_back():
    given = replace(PROTOCOLS["default"], learning_rate=1, steps=np.int64(300), class_balance=np.float32(0.5))
    assert repr(given) == repr(replace(PROTOCOLS["default"], learning_rate=1.0, steps=300, class_balance=0.5))


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_program_that_has_turned_gradients_off_can_train(off: type[torch.no_grad]):
    expected, _ = fit(WATCHFUL)
    with off():
        found, _ = fit(WATCHFUL)
    same_weights(found, expected, rtol=0, atol=0)


def test_an_unknown_protocol_lists_the_known():
    with pytest.raises(InputError, match="known: default, paper"):
        training_protocol("fast")
