"""Functions that compute alike whatever a caller has set for all of torch."""

from collections.abc import Iterator

import pytest
import torch

from frugalseg.support.torch_defaults import usual_defaults, with_usual_defaults


@pytest.fixture
def unusual() -> Iterator[None]:
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_device(None)  # "cpu" would leave a mode on for every later test
    torch.set_default_dtype(torch.float32)


def kind() -> tuple[str, torch.dtype]:
    made = torch.zeros(1)
    return made.device.type, made.dtype


def test_the_defaults_of_a_caller_are_left_out_and_come_back(unusual: None) -> None:
    with pytest.raises(KeyError), usual_defaults():
        assert kind() == ("cpu", torch.float32)
        raise KeyError
    assert kind() == ("meta", torch.float64)
    assert with_usual_defaults(kind)() == ("cpu", torch.float32)


def test_between_two_values_of_an_iterator_they_hold(unusual: None) -> None:
    closed = []

    @with_usual_defaults
    def three() -> Iterator[tuple[str, torch.dtype]]:
        try:
            yield kind()
            yield kind()
            raise KeyError
        finally:
            closed.append(kind())

    found = three()
    assert [next(found), kind(), next(found), kind()] == [("cpu", torch.float32), ("meta", torch.float64)] * 2
    with pytest.raises(KeyError):
        next(found)
    assert kind() == ("meta", torch.float64)
    again = three()
    next(again)
    again.close()  # type: ignore[attr-defined]
    assert len(closed) == 2
