"""Callers are served in the order in which they came, and are told their place."""

import threading

import pytest

from app.server import fair_queue
from app.server.fair_queue import FairQueue
from tests.threads import run_in_thread, wait_until


@pytest.fixture(autouse=True)
def short_pause(monkeypatch):
    """Who waits is told again soon."""
    monkeypatch.setattr(fair_queue, "PAUSE_S", 0.01)


def in_line(queue: FairQueue, count: int) -> None:
    """Wait until so many stand in line, who has the turn included."""
    wait_until(lambda: len(queue._tickets) == count)


@pytest.mark.parametrize("slots", [1, 2])
def test_callers_are_served_in_the_order_they_came_and_no_more_at_a_time_than_there_are_slots(slots):
    queue, inside, served, most = FairQueue(slots), [], [], []
    go = threading.Event()

    def visit(number):
        with queue.turn():
            inside.append(number)
            most.append(len(inside))
            served.append(number)
            assert go.wait(10)
            inside.remove(number)

    visits = []
    for number in range(6):
        visits.append(run_in_thread(lambda number=number: visit(number)))
        in_line(queue, number + 1)  # the next one comes when this one stands in line
        wait_until(lambda number=number: len(served) == min(number + 1, slots))
    assert inside == list(range(slots)), "as many as there are slots are served at once"
    go.set()
    for each in visits:
        each.result(10)
    assert max(most) == slots and not queue._tickets
    assert served == list(range(6)) if slots == 1 else sorted(served) == list(range(6))


def test_who_waits_is_told_how_many_come_first_and_who_leaves_holds_up_nobody():
    queue, told, served = FairQueue(), [], []

    def leave(ahead):
        told.append(ahead)
        if ahead == 2:
            raise ConnectionAbortedError

    def visit(name):
        with queue.turn(leave):
            served.append(name)

    with queue.turn():
        second = run_in_thread(lambda: visit("second"))
        in_line(queue, 2)
        wait_until(lambda: told[:1] == [1])
        with pytest.raises(ConnectionAbortedError):
            run_in_thread(lambda: visit("third")).result(10)
        assert 2 in told and served == []
        in_line(queue, 2)  # the third is gone
        fourth = run_in_thread(lambda: visit("fourth"))
        with pytest.raises(ConnectionAbortedError):
            fourth.result(10)
    second.result(10)
    assert served == ["second"] and not queue._tickets


def test_who_waits_is_told_again_and_again_so_that_they_can_leave():
    queue, told = FairQueue(), []

    def leave_at_the_third(ahead):
        told.append(ahead)
        if len(told) == 3:
            raise ConnectionAbortedError

    def visit():
        with queue.turn(leave_at_the_third):
            raise AssertionError("it was not this visitor's turn")

    with queue.turn(), pytest.raises(ConnectionAbortedError):  # nobody else comes or goes
        run_in_thread(visit).result(10)
    assert told == [1, 1, 1]


def test_a_turn_inside_a_turn_does_not_wait_for_itself():
    queue = FairQueue()

    def visit():
        with queue.turn(), queue.turn():
            return len(queue._tickets)

    assert run_in_thread(visit).result(10) == 1
    assert len(queue._tickets) == 0


def test_an_error_during_a_turn_gives_it_to_the_next_and_the_one_who_erred_stands_in_line_again():
    queue, told = FairQueue(), []

    def errs_and_comes_again():
        with pytest.raises(ZeroDivisionError), queue.turn():
            in_line(queue, 2)
            raise ZeroDivisionError
        with queue.turn(told.append):
            return "served"

    def waits():
        with queue.turn():
            wait_until(lambda: len(told) > 0)
            return "served"

    first = run_in_thread(errs_and_comes_again)
    in_line(queue, 1)
    second = run_in_thread(waits)
    assert (second.result(10), first.result(10)) == ("served", "served")
    assert set(told) == {1} and not queue._tickets
