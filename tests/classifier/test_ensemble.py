"""The ensemble against the literal method: same logits, same labels, same uncertainty."""

import math
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import literal
from frugalseg.classifier.ensemble import PixelClassifier
from frugalseg.classifier.prediction import image_uncertainty, vote
from frugalseg.features.feature_maps import FeatureMaps

# The literal way sums in another order; in float64 that is the only difference.
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def trained_looking(
    channels: tuple[int, ...],
    classes: int,
    members: int = 3,
    seed: int = 0,
    hidden: tuple[int, int] | None = (12, 5),
) -> PixelClassifier:
    """Weights, running statistics and standardisation as training might leave them, in float64 and evaluation mode."""
    classifier = PixelClassifier(channels, classes, members, hidden).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for name, values in classifier.state_dict().items():
        drawn = torch.randn(values.shape, generator=generator, dtype=values.dtype)
        fan_in = values.shape[1] if values.dim() == 3 else 1
        values.copy_(drawn.abs() + 0.3 if "var" in name or "scale" in name else drawn / fan_in**0.5)
    return classifier


def random_maps(
    channels: tuple[int, ...], sizes: list[tuple[int, int]], grid: tuple[int, int], seed: int = 0
) -> FeatureMaps:
    generator = torch.Generator().manual_seed(seed)
    shapes = zip(channels, sizes, strict=True)
    return FeatureMaps([torch.randn(1, c, h, w, generator=generator).double() for c, (h, w) in shapes], grid)


def literal_prediction(classifier: PixelClassifier, maps: FeatureMaps) -> literal.LiteralPrediction:
    features = literal.concatenate(maps.maps, maps.size)
    standardised = (features - classifier.feature_mean) / classifier.feature_scale
    models = [classifier.member(place) for place in range(classifier.members)]
    return literal.predict(models, standardised, maps.size)


side = st.integers(1, 9)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.tuples(side, side), min_size=1, max_size=4),
    grid=st.tuples(st.integers(1, 23), st.integers(1, 23)),
    max_elements=st.sampled_from([1, 400, 2**25]),
    seed=st.integers(0, 10**6),
)
@example([(21, 45)], (21, 45), 400, 0)  # maps as large as the grid: several tiles, in bands and at once
@example([(21, 45), (21, 45)], (21, 45), 2**25, 0)
@example([(21, 45), (5, 9)], (21, 45), 400, 0)
def test_prediction_is_the_literal_one(
    sizes: list[tuple[int, int]], grid: tuple[int, int], max_elements: int, seed: int
):
    channels = tuple(3 + place for place in range(len(sizes)))
    classifier, maps = trained_looking(channels, 6, seed=seed), random_maps(channels, sizes, grid, seed)
    found = classifier.predict(maps, max_elements=max_elements)
    expected = literal_prediction(classifier, maps)
    assert found.mask.dtype == torch.uint8
    assert torch.equal(found.mask.long(), expected.mask)
    torch.testing.assert_close(found.probabilities, expected.probabilities, **EXACT)
    torch.testing.assert_close(found.uncertainty, expected.uncertainty, rtol=0, atol=1e-9)
    assert found.image_uncertainty == pytest.approx(expected.image_uncertainty, abs=1e-9)


@pytest.mark.parametrize("classes", [29, 30])
def test_published_widths_predict_as_published_in_float32(classes: int):
    channels, sizes = (40, 24, 8), [(8, 8), (16, 16), (32, 32)]
    classifier = trained_looking(channels, classes, members=4, hidden=None).float()
    assert classifier.hidden == ((128, 32) if classes < 30 else (256, 128))
    maps = random_maps(channels, sizes, (64, 64)).to(torch.float32)
    found, expected = classifier.predict(maps), literal_prediction(classifier, maps)
    assert torch.equal(found.mask.long(), expected.mask)
    torch.testing.assert_close(found.uncertainty, expected.uncertainty, rtol=0, atol=2e-6)


def test_half_precision_maps_are_read_as_they_are():
    maps = random_maps((5, 3), [(4, 4), (8, 8)], (16, 16)).to(torch.float16)
    classifier = trained_looking((5, 3), 4).float()
    found, expected = classifier.predict(maps), classifier.predict(maps.to(torch.float32))
    torch.testing.assert_close(found.probabilities, expected.probabilities)


def test_bfloat16_prediction_is_near():
    maps = random_maps((16, 8), [(4, 4), (8, 8)], (16, 16)).to(torch.float32)
    classifier = PixelClassifier((16, 8), 4, members=2).eval()
    low = classifier.predictor(torch.bfloat16).predict(maps)
    assert low.probabilities.dtype == torch.float32
    torch.testing.assert_close(low.probabilities, classifier.predict(maps).probabilities, rtol=0, atol=0.02)


def test_member_probabilities_of_some_rows():
    maps = random_maps((5, 3), [(4, 3), (8, 6)], (17, 13))
    classifier = trained_looking((5, 3), 4)
    predictor = classifier.predictor()
    whole = predictor.member_probabilities(maps)
    assert whole.shape == (3, 4, 17, 13)
    torch.testing.assert_close(predictor.member_probabilities(maps, slice(5, 12)), whole[:, :, 5:12], **EXACT)
    features = literal.concatenate(maps.maps, maps.size)
    expected = classifier(features).softmax(-1).transpose(1, 2).unflatten(2, (17, 13))
    torch.testing.assert_close(whole, expected, **EXACT)
    found, voted = predictor.predict(maps), vote(whole)
    assert torch.equal(found.mask, voted.mask)
    torch.testing.assert_close(found.uncertainty, voted.uncertainty, **EXACT)
    assert found.image_uncertainty == pytest.approx(voted.image_uncertainty)


@pytest.mark.parametrize("training", [True, False])
def test_forward_is_the_published_network_member_by_member(training: bool):
    classifier = trained_looking((7,), 5).train(training)
    features = torch.randn(3, 9, 7, dtype=torch.float64)
    members = [classifier.member(place) for place in range(3)]
    logits = classifier(features)
    for place, member in enumerate(members):
        standardised = (features[place] - classifier.feature_mean) / classifier.feature_scale
        torch.testing.assert_close(logits[place], member(standardised), **EXACT)
        for norm, published in ((classifier.norm1, member[2]), (classifier.norm2, member[5])):
            assert isinstance(published, nn.BatchNorm1d)
            torch.testing.assert_close(norm.running_mean[place], published.running_mean, **EXACT)
            torch.testing.assert_close(norm.running_var[place], published.running_var, **EXACT)


def test_shared_features_serve_every_member():
    classifier = trained_looking((7,), 5)
    features = torch.randn(9, 7, dtype=torch.float64)
    torch.testing.assert_close(classifier(features), classifier(features.expand(3, -1, -1)), **EXACT)


def test_a_members_first_weights_depend_on_its_number_alone():
    joint, alone = PixelClassifier((6,), 3, 4), PixelClassifier((6,), 3, 1)
    joint.reset(5, range(4))
    alone.reset(5, [2])
    for name, values in alone.named_parameters():
        assert torch.equal(values[0], joint.get_parameter(name)[2])
    assert joint.linear1.bias.abs().max() == 0
    many = PixelClassifier((2000,), 3, 2).linear1.weight
    assert many.std().item() == pytest.approx(0.02, rel=0.01)
    assert not torch.equal(many[0], many[1])


def test_select_and_assign_are_inverse():
    classifier = trained_looking((4,), 3, members=4)
    part = classifier.select([3, 1])
    assert part.members == 2
    for values in part.parameters():
        values.data.zero_()
    assert all(values.abs().max() > 0 for values in classifier.parameters())
    classifier.assign([3, 1], part)
    for values in classifier.parameters():
        assert [bool(v.any()) for v in values] == [True, False, True, False]


def test_config_rebuilds_the_classifier():
    classifier = trained_looking((4, 2), 3, members=2)
    again = PixelClassifier(**classifier.config()).double().eval()
    again.load_state_dict(classifier.state_dict())
    maps = random_maps((4, 2), [(3, 3), (6, 6)], (12, 12))
    assert torch.equal(again.predict(maps).probabilities, classifier.predict(maps).probabilities)


def members_that_vote(*labels: int, classes: int = 4) -> Tensor:
    """Member probabilities of a single pixel, each member nearly sure of its label."""
    logits = torch.full((len(labels), classes), -6.0)
    logits[range(len(labels)), list(labels)] = 0
    return logits.softmax(-1)[:, :, None, None]


@pytest.mark.parametrize(
    ("labels", "winner"), [((1, 1, 2), 1), ((2, 1), 1), ((3, 3, 0, 0, 2), 0), ((2,), 2), ((3, 2, 2, 3, 1), 2)]
)
def test_majority_wins_and_ties_go_to_the_smallest(labels: tuple[int, ...], winner: int):
    assert vote(members_that_vote(*labels)).mask.item() == winner


def test_divergence_closed_forms():
    agree = torch.tensor([0.7, 0.2, 0.1]).expand(5, 3)[:, :, None, None]
    assert vote(agree).uncertainty.item() == pytest.approx(0, abs=1e-6)
    disagree = torch.eye(4)[:, :, None, None]  # four members, each certain of another class
    assert vote(disagree).uncertainty.item() == pytest.approx(math.log(4), abs=1e-6)
    p, q = 0.9, 0.4
    pair = torch.tensor([[p, 1 - p], [q, 1 - q]])[:, :, None, None]

    def entropy(x: float) -> float:
        return -x * math.log(x) - (1 - x) * math.log(1 - x)

    assert vote(pair).uncertainty.item() == pytest.approx(
        entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2, abs=1e-6
    )


def test_an_images_uncertainty_is_that_of_its_most_uncertain_tenth():
    assert image_uncertainty(torch.arange(40.0)) == pytest.approx((36 + 37 + 38 + 39) / 4)
    assert image_uncertainty(torch.tensor([1.0, 3.0])) == 2


def test_other_maps_than_the_classifier_knows_are_refused():
    classifier = PixelClassifier((4, 2), 3, 2).eval()
    with pytest.raises(ValueError, match=r"channels 4\+2; got 1 of 2\+4"):
        classifier.predict(random_maps((2, 4), [(3, 3), (3, 3)], (6, 6)).to(torch.float32))


class NoDoubles(TorchDispatchMode):
    """An accelerator without float64, such as Apple's."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = operation(*args, **(kwargs or {}))
        assert not (isinstance(found, Tensor) and found.device.type != "cpu" and found.dtype == torch.float64)
        return found


def test_weights_are_folded_for_devices_without_float64():
    classifier = PixelClassifier((4, 2), 3, 2).eval()
    with FakeTensorMode():
        for module in classifier.modules():
            for held in (module._parameters, module._buffers):
                held.update({name: torch.empty(values.shape, device="cuda") for name, values in held.items()})
        with NoDoubles():
            folded = classifier.folded()
    fields = (*folded.first, folded.first_bias, folded.second, folded.second_bias, folded.third, folded.third_bias)
    assert {(values.device.type, values.dtype) for values in fields} == {("cuda", torch.float32)}


@pytest.mark.gpu
def test_a_gpu_gives_the_same_prediction():
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    maps = random_maps((40, 24), [(8, 8), (16, 16)], (64, 64))
    classifier = trained_looking((40, 24), 9)
    here, there = classifier.predict(maps), classifier.cuda().predict(maps.to("cuda"))
    assert torch.equal(here.mask, there.mask.cpu())
    torch.testing.assert_close(here.uncertainty, there.uncertainty.cpu(), rtol=0, atol=1e-9)
