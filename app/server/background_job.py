"""Work that a visitor asked for, done in a background thread that tells its progress and can be stopped. No Streamlit.

Between its steps the work lets other visitors' texts go first, so that a long job holds up nobody.
"""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from app.server.fair_queue import FairQueue


@dataclass
class BackgroundJob:
    """One piece of work. Its thread ends at the next step after it was stopped, or after its visitor left."""

    key: Hashable
    """What it is about."""
    queue: FairQueue
    is_wanted: Callable[[], bool] = lambda: True
    """Whether the visitor who asked for it is still there; asked from the job's thread."""
    share: float = 0.0
    message: str = "Beginning…"
    ahead: int = 0
    """Texts of other visitors before the next step, while the job waits."""
    stopped: bool = False
    future: Future = field(default_factory=Future)
    """What the work returned, or its error: CancelledError if the visitor stopped it or left."""
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the visitor asked for the work."""
        return time.monotonic() - self.started

    @property
    def told(self) -> str:
        """What to tell the visitor now."""
        if self.ahead:
            return f"Waiting for {self.ahead} text{'s' * (self.ahead > 1)} of other visitors…"
        return self.message

    def check(self) -> None:
        """Raise CancelledError if the visitor has stopped the job, or left."""
        if self.stopped or not self.is_wanted():
            raise CancelledError

    def tell(self, share: float, message: str) -> None:
        """Note the progress; raises as `check` does."""
        self.share, self.message = share, message
        self.check()

    @contextmanager
    def turns(self) -> Iterator[Callable[[], None]]:
        """Hold a turn at the models. What it gives is a function that lets others go first and raises as `check` does.

        Call it often: nobody else's text is read meanwhile.
        """

        def waiting(ahead: int) -> None:
            self.ahead = ahead
            self.check()

        with ExitStack() as held:

            def next_turn() -> None:
                held.close()
                self.check()
                held.enter_context(self.queue.turn(waiting))
                self.ahead = 0

            next_turn()
            yield next_turn

    def stop(self) -> None:
        """End the work at its next step."""
        self.stopped = True
        self.future.cancel()

    def start(self, work: Callable[["BackgroundJob"], Any]) -> None:
        """Do the work in a thread of its own, which no exit of the program waits for."""
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[["BackgroundJob"], Any]) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(work(self))
        except Exception as problem:  # whoever looks at the job raises it where the visitor sees it
            self.future.set_exception(problem)


__all__ = ["BackgroundJob"]
