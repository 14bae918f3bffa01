"""Several threads give the results of one, in order, and hold few items at a time."""

import threading
import time

import pytest

from vesselbench.evaluation.pool import map_in_order, workers_here


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items_however_long_each_takes(workers):
    def work(number):
        time.sleep(0.002 * (number % 3 == 0))
        return number * number

    assert list(map_in_order(work, range(20), workers)) == [number * number for number in range(20)]
    assert list(map_in_order(work, [], workers)) == []


def test_no_more_items_are_taken_than_threads_can_work_on():
    taken, given = [], []

    def items():
        for number in range(30):
            taken.append(number)
            assert len(taken) - len(given) <= 4, "two at work, one waiting, one in the hand"
            yield number

    for result in map_in_order(lambda number: number, items(), 2):
        given.append(result)
    assert given == list(range(30))


def test_an_error_comes_in_its_place():
    def work(number):
        if number == 3:
            raise ValueError("three")
        return number

    found = []
    with pytest.raises(ValueError, match="three"):
        found.extend(map_in_order(work, range(9), 2))
    results = map_in_order(work, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_several_items_are_worked_on_at_once():
    together = threading.Barrier(2, timeout=20)

    def work(number):
        if number:
            together.wait()
        return number

    assert list(map_in_order(work, range(5), 2)) == list(range(5))
    assert 1 <= workers_here() <= 8
