"""Visitors take turns at the models."""

import threading

import pytest

from app.server import turns as line_of_visitors
from app.server.turns import Turns
from tests.threads import started, wait_until


@pytest.fixture(autouse=True)
def short_pause(monkeypatch):
    """Who waits is told again soon."""
    monkeypatch.setattr(line_of_visitors, "PAUSE_S", 0.01)


def in_line(turns: Turns, count: int) -> None:
    """Wait until so many stand in line, who has the turn included."""
    wait_until(lambda: len(turns._line) == count)


@pytest.mark.parametrize("places", [1, 2])
def test_callers_are_served_in_the_order_they_came_and_no_more_at_a_time_than_there_are_places(places):
    turns, inside, served, most = Turns(places), [], [], []
    go = threading.Event()

    def visit(number):
        with turns.turn():
            inside.append(number)
            most.append(len(inside))
            served.append(number)
            assert go.wait(10)
            inside.remove(number)

    visits = []
    for number in range(6):
        visits.append(started(lambda number=number: visit(number)))
        in_line(turns, number + 1)  # the next one comes when this one stands in line
        wait_until(lambda number=number: len(served) == min(number + 1, places))
    assert inside == list(range(places)), "as many as there are places are served at once"
    go.set()
    for each in visits:
        each.result(10)
    assert max(most) == places and not turns._line
    assert served == list(range(6)) if places == 1 else sorted(served) == list(range(6))


def test_who_waits_is_told_how_many_come_first_and_who_leaves_holds_up_nobody():
    turns, told, served = Turns(), [], []

    def leave(ahead):
        told.append(ahead)
        if ahead == 2:
            raise ConnectionAbortedError

    def visit(name):
        with turns.turn(leave):
            served.append(name)

    with turns.turn():
        second = started(lambda: visit("second"))
        in_line(turns, 2)
        wait_until(lambda: told[:1] == [1])
        with pytest.raises(ConnectionAbortedError):
            started(lambda: visit("third")).result(10)
        assert 2 in told and served == []
        in_line(turns, 2)  # the third is gone
        fourth = started(lambda: visit("fourth"))
        with pytest.raises(ConnectionAbortedError):
            fourth.result(10)
    second.result(10)
    assert served == ["second"] and not turns._line


def test_who_waits_is_told_again_and_again_so_that_they_can_leave():
    turns, told = Turns(), []

    def leave_at_the_third(ahead):
        told.append(ahead)
        if len(told) == 3:
            raise ConnectionAbortedError

    def visit():
        with turns.turn(leave_at_the_third):
            raise AssertionError("it was not this visitor's turn")

    with turns.turn(), pytest.raises(ConnectionAbortedError):  # nobody else comes or goes
        started(visit).result(10)
    assert told == [1, 1, 1]


def test_a_turn_inside_a_turn_does_not_wait_for_itself():
    turns = Turns()

    def visit():
        with turns.turn(), turns.turn():
            return len(turns._line)

    assert started(visit).result(10) == 1
    assert len(turns._line) == 0


def test_an_error_during_a_turn_gives_it_to_the_next_and_the_one_who_erred_stands_in_line_again():
    turns, told = Turns(), []

    def errs_and_comes_again():
        with pytest.raises(ZeroDivisionError), turns.turn():
            in_line(turns, 2)
            raise ZeroDivisionError
        with turns.turn(told.append):
            return "served"

    def waits():
        with turns.turn():
            wait_until(lambda: len(told) > 0)
            return "served"

    first = started(errs_and_comes_again)
    in_line(turns, 1)
    second = started(waits)
    assert (second.result(10), first.result(10)) == ("served", "served")
    assert set(told) == {1} and not turns._line
