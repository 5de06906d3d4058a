"""What takes a turn to make is made once, kept, and looked at without a turn."""

import threading

import pytest

from app.server.keeping import Kept
from app.server.turns import Turns
from tests.threads import started, wait_until


def test_result_is_made_once_and_the_oldest_unused_goes_first():
    made = []
    double = Kept(lambda x: made.append(x) or [2 * x], most=2, in_turn=Turns().turn)
    first = double(1)
    assert double(1) is first and double(2) == [4] and double(1) is first
    double(3)  # 2 was not asked for since
    assert double(1) is first and made == [1, 2, 3]
    double(2)
    assert made == [1, 2, 3, 2]
    double.clear()
    assert double(2) == [4] and made == [1, 2, 3, 2, 2]


def test_what_is_there_is_had_while_another_holds_the_turn():
    turns = Turns()
    double = Kept(lambda x: 2 * x, most=2, in_turn=turns.turn)
    double(1)
    with turns.turn():
        assert started(lambda: double(1)).result(10) == 2


def test_two_who_ask_for_the_same_get_the_same_and_it_is_made_once():
    turns, made = Turns(), []
    listed = Kept(lambda x: made.append(x) or [x], most=2, in_turn=turns.turn)
    with turns.turn():
        asked = [started(lambda: listed(1)) for _ in range(3)]
        wait_until(lambda: len(turns._line) == 4)
    found = [each.result(10) for each in asked]
    assert made == [1] and found == [[1]] * 3 and all(each is found[0] for each in found)


def test_what_fails_is_not_kept_and_does_not_block_who_waits_for_the_same():
    turns, made = Turns(), []

    def fail_once(x):
        made.append(x)
        if len(made) == 1:
            wait_until(lambda: len(turns._line) == 3)
            raise ValueError("not this time")
        return [x]

    tried = Kept(fail_once, most=2, in_turn=turns.turn)
    asked = []
    for number in range(3):
        asked.append(started(lambda: tried(1)))
        wait_until(lambda number=number: len(turns._line) == number + 1)
    with pytest.raises(ValueError, match="not this time"):
        asked[0].result(10)
    assert asked[1].result(10) == [1] and asked[2].result(10) is asked[1].result(10)
    assert made == [1, 1] and not turns._line


def test_who_leaves_while_waiting_holds_up_neither_the_line_nor_the_result():
    turns, tells = Turns(), threading.Event()

    def leave(ahead):
        tells.set()
        raise ConnectionAbortedError

    kept_for_leavers = Kept(lambda x: [x], most=2, in_turn=lambda: turns.turn(leave))
    with turns.turn():
        with pytest.raises(ConnectionAbortedError):
            started(lambda: kept_for_leavers(1)).result(10)
        assert tells.is_set() and len(turns._line) == 1
    assert kept_for_leavers(1) == [1]


def test_who_holds_the_turn_gets_what_another_waits_to_make():
    """With a cache that locks an entry while it is made, both would wait for ever."""
    turns, asks = Turns(), threading.Event()
    doubled = Kept(lambda x: 2 * x, most=4, in_turn=turns.turn)

    def with_the_turn_in_hand():
        with turns.turn():
            assert asks.wait(10)
            return doubled(1)

    holder = started(with_the_turn_in_hand)
    wait_until(lambda: len(turns._line) == 1)
    waiting = started(lambda: doubled(1))
    wait_until(lambda: len(turns._line) == 2)
    asks.set()
    assert (holder.result(10), waiting.result(10)) == (2, 2)
