"""Visitors take turns at the models."""

import threading

import pytest

from app.server.turns import Turns


def started(target) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_callers_are_served_one_at_a_time_in_the_order_they_came():
    turns, inside, served, most = Turns(), [], [], []
    gate = threading.Event()

    def visit(number):
        def run():
            with turns.turn():
                inside.append(number)
                most.append(len(inside))
                if number == 0:
                    gate.wait(10)
                served.append(number)
                inside.remove(number)

        return run

    threads = []
    for number in range(5):
        threads.append(started(visit(number)))
        while len(turns._line) <= number:  # the next one comes when this one stands in line
            threading.Event().wait(0.001)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert served == [0, 1, 2, 3, 4] and max(most) == 1


def test_who_waits_is_told_how_many_come_first_and_who_leaves_holds_up_nobody():
    turns, told, held, left = Turns(), [], threading.Event(), threading.Event()

    def leave(ahead):
        told.append(ahead)
        raise ConnectionAbortedError

    def visit():
        with pytest.raises(ConnectionAbortedError), turns.turn(leave):
            raise AssertionError("it was not this visitor's turn")
        left.set()

    with turns.turn():
        thread = started(visit)
        assert left.wait(10)
        held.set()
    thread.join(10)
    assert told == [1] and held.is_set()
    with turns.turn():
        assert len(turns._line) == 1


def test_who_waits_is_told_again_and_again_so_that_they_can_leave():
    turns, told, left = Turns(), [], threading.Event()

    def leave_at_the_third(ahead):
        told.append(ahead)
        if len(told) == 3:
            raise ConnectionAbortedError

    def visit():
        with pytest.raises(ConnectionAbortedError), turns.turn(leave_at_the_third):
            raise AssertionError("it was not this visitor's turn")
        left.set()

    with turns.turn():  # nobody else comes or goes
        started(visit)
        assert left.wait(10)
    assert told == [1, 1, 1]


def test_a_turn_inside_a_turn_does_not_wait_for_itself():
    turns = Turns()
    with turns.turn(), turns.turn():
        assert len(turns._line) == 1
    assert len(turns._line) == 0


def test_two_places_serve_two_at_a_time():
    turns, met = Turns(places=2), threading.Barrier(2)

    def visit():
        with turns.turn():
            met.wait(10)

    threads = [started(visit), started(visit)]
    for thread in threads:
        thread.join(10)
    assert not met.broken
