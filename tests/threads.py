"""Running work in threads, and waiting for conditions."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future


def run_in_thread(work: Callable[[], object]) -> Future:
    """Start work in a new thread; return its future, whose `result(10)` raises what the work raised."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def wait_until(holds: Callable[[], bool], timeout_s: float = 10) -> None:
    """Return as soon as a condition holds; AssertionError if it does not hold in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        time.sleep(0.001)
