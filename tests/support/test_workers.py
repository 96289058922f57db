"""Threads that compute by themselves: order, errors, modes, and what stays as it was for everybody else."""

import threading
from collections.abc import Iterator

import pytest
import torch

from frugalseg.support.workers import AHEAD, Workers, threads_here


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """A number of threads, which torch uses while the test runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def numbers_of_a_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_each_thread_computes_by_itself_and_other_threads_keep_their_number(threads: int):
    with Workers(threads) as workers:
        used = list(workers.each(lambda _: (threading.get_ident(), torch.get_num_threads()), range(20)))
    assert {number for _, number in used} == {1}
    assert len({thread for thread, _ in used}) <= threads
    assert (threading.get_ident() in {thread for thread, _ in used}) == (threads == 1)
    assert torch.get_num_threads() == threads == numbers_of_a_new_thread()


def test_each_of_several_threads_has_its_share(threads: int):
    with Workers(threads, share=2) as workers:
        assert list(workers.each(lambda _: torch.get_num_threads(), range(4))) == [threads if threads == 1 else 2] * 4
    assert torch.get_num_threads() == threads == numbers_of_a_new_thread()


def test_results_keep_the_order_of_the_items_whichever_ends_first(threads: int):
    gates = [threading.Event() for _ in range(5)]
    for gate in gates[1:] if threads > 1 else gates:
        gate.set()

    def work(place: int) -> int:
        if place == 2:
            gates[0].set()  # the first item ends after the third has begun
        gates[place].wait(10)
        return place

    with Workers(threads) as workers:
        assert list(workers.each(work, range(5))) == [0, 1, 2, 3, 4]


def test_an_error_is_raised_here_and_ends_the_work(threads: int):
    begun = []

    def work(place: int) -> None:
        begun.append(place)
        if place == 1:
            raise KeyError(place)

    with pytest.raises(KeyError), Workers(threads) as workers:
        list(workers.each(work, range(1000)))
    assert len(begun) < 100


def test_little_is_begun_before_its_turn(threads: int):
    taken = []
    with Workers(threads) as workers:
        results = workers.each(lambda place: place, (taken.append(place) or place for place in range(1000)))
        assert next(results) == 0
        assert len(taken) <= AHEAD * threads + 1


@pytest.mark.parametrize(
    ("of_torch", "bound", "threads"),
    [(2, 2, 4), (2, 64, 2), (1, 1, 1), (1, 2, 1), (64, 64, 128), (4, 2, 4)],
)
def test_a_limit_is_kept(of_torch: int, bound: int, threads: int):
    assert threads_here(of_torch, bound) == threads
