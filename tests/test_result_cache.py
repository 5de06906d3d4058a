"""Results are computed once, in a turn, cached, and then returned without a turn."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest

from app.server.fair_queue import FairQueue
from app.server.result_cache import ResultCache
from tests.threads import run_in_thread, wait_until


def test_result_is_made_once_and_the_oldest_unused_goes_first():
    made = []
    double = ResultCache(lambda x: made.append(x) or [2 * x], entries=2, turn=FairQueue().turn)
    first = double(1)
    assert double(1) is first and double(2) == [4] and double(1) is first
    double(3)  # 2 was not asked for since
    assert double(1) is first and made == [1, 2, 3]
    double(2)
    assert made == [1, 2, 3, 2]
    double.clear()
    assert double(2) == [4] and made == [1, 2, 3, 2, 2]


def test_what_is_there_is_had_while_another_holds_the_turn():
    queue = FairQueue()
    double = ResultCache(lambda x: 2 * x, entries=2, turn=queue.turn)
    double(1)
    with queue.turn():
        assert run_in_thread(lambda: double(1)).result(10) == 2


def test_two_who_ask_for_the_same_get_the_same_and_it_is_made_once():
    queue, made = FairQueue(), []
    listed = ResultCache(lambda x: made.append(x) or [x], entries=2, turn=queue.turn)
    with queue.turn():
        asked = [run_in_thread(lambda: listed(1)) for _ in range(3)]
        wait_until(lambda: len(queue._tickets) == 4)
    found = [each.result(10) for each in asked]
    assert made == [1] and found == [[1]] * 3 and all(each is found[0] for each in found)


def test_what_fails_is_not_kept_and_does_not_block_who_waits_for_the_same():
    queue, made, all_in_line = FairQueue(), [], threading.Event()

    def fail_once(x):
        made.append(x)
        if len(made) == 1:
            assert all_in_line.wait(10)
            raise ValueError("not this time")
        return [x]

    tried = ResultCache(fail_once, entries=2, turn=queue.turn)
    asked = []
    for number in range(3):
        asked.append(run_in_thread(lambda: tried(1)))
        wait_until(lambda number=number: len(queue._tickets) == number + 1)
    all_in_line.set()
    with pytest.raises(ValueError, match="not this time"):
        asked[0].result(10)
    assert asked[1].result(10) == [1] and asked[2].result(10) is asked[1].result(10)
    assert made == [1, 1] and not queue._tickets


def test_who_leaves_while_waiting_holds_up_neither_the_line_nor_the_result():
    queue, tells = FairQueue(), threading.Event()

    def leave(ahead):
        tells.set()
        raise ConnectionAbortedError

    kept_for_leavers = ResultCache(lambda x: [x], entries=2, turn=lambda: queue.turn(leave))
    with queue.turn():
        with pytest.raises(ConnectionAbortedError):
            run_in_thread(lambda: kept_for_leavers(1)).result(10)
        assert tells.is_set() and len(queue._tickets) == 1
    assert kept_for_leavers(1) == [1]


def test_who_holds_the_turn_gets_what_another_waits_to_make():
    """With a cache that locks an entry while it is made, both would wait for ever."""
    queue, asks = FairQueue(), threading.Event()
    doubled = ResultCache(lambda x: 2 * x, entries=4, turn=queue.turn)

    def with_the_turn_in_hand():
        with queue.turn():
            assert asks.wait(10)
            return doubled(1)

    holder = run_in_thread(with_the_turn_in_hand)
    wait_until(lambda: len(queue._tickets) == 1)
    waiting = run_in_thread(lambda: doubled(1))
    wait_until(lambda: len(queue._tickets) == 2)
    asks.set()
    assert (holder.result(10), waiting.result(10)) == (2, 2)


def test_results_of_many_bytes_make_room_for_each_other():
    made = []

    def block(size):
        made.append(size)
        return np.zeros(size, np.uint8)

    blocks = ResultCache(block, entries=9, turn=nullcontext, most_bytes=10)
    blocks(4), blocks(5), blocks(4)
    assert made == [4, 5]
    blocks(6)  # with it there are 15 bytes: the one that was not asked for longest goes
    blocks(4)
    assert made == [4, 5, 6]
    blocks(20)
    blocks(20)
    assert made == [4, 5, 6, 20], "a result larger than all the room is kept alone"
    blocks(4)
    assert made == [4, 5, 6, 20, 4]


def test_a_default_that_is_left_out_and_one_that_is_given_are_the_same_question():
    made = []
    asked = ResultCache(lambda x, also=(): made.append(x) or [x], entries=2, turn=FairQueue().turn)
    assert asked(1) is asked(1, ()) and made == [1]
