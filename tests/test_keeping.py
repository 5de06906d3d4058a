"""What takes a turn to make is made once, kept, and looked at without a turn."""

import threading

import pytest

from app.server.keeping import Kept
from app.server.turns import Turns
from tests.test_turns import started


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
    found = []
    with turns.turn():
        thread = started(lambda: found.append(double(1)))
        thread.join(10)
    assert found == [2]


def test_two_who_ask_for_the_same_get_the_same_and_it_is_made_once():
    turns, made, found = Turns(), [], []
    listed = Kept(lambda x: made.append(x) or [x], most=2, in_turn=turns.turn)
    with turns.turn():
        threads = [started(lambda: found.append(listed(1))) for _ in range(3)]
        while len(turns._line) < 4:
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join(10)
    assert made == [1] and len(found) == 3 and all(each is found[0] for each in found)


def test_what_fails_is_not_kept_and_gives_the_turn_back():
    turns, made = Turns(), []

    def fail_once(x):
        made.append(x)
        if len(made) == 1:
            raise ValueError("not this time")
        return x

    tried = Kept(fail_once, most=2, in_turn=turns.turn)
    with pytest.raises(ValueError, match="not this time"):
        tried(1)
    assert tried(1) == 1 and not turns._line


def test_who_holds_the_turn_gets_what_another_waits_to_make():
    """With a cache that locks an entry while it is made, both would wait for ever."""
    turns, asks, found = Turns(), threading.Event(), []
    doubled = Kept(lambda x: 2 * x, most=4, in_turn=turns.turn)

    def with_the_turn_in_hand():
        with turns.turn():
            asks.wait(10)
            found.append(doubled(1))

    holder = started(with_the_turn_in_hand)
    while len(turns._line) < 1:
        threading.Event().wait(0.001)
    waiting = started(lambda: found.append(doubled(1)))
    while len(turns._line) < 2:
        threading.Event().wait(0.001)
    asks.set()
    for thread in (holder, waiting):
        thread.join(10)
    assert found == [2, 2]
