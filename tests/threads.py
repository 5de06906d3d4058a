"""Work in threads of its own, and waiting until something holds."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future


def run_in_thread(work: Callable[[], object]) -> Future:
    """What comes of work that has just begun in a thread of its own: `result(10)` raises what it raised."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def wait_until(holds: Callable[[], bool], timeout_s: float = 10) -> None:
    """Return as soon as something holds; an AssertionError if it does not come to hold."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not so within {timeout_s} s"
        time.sleep(0.001)
