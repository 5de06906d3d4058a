"""Where the learned gate of a model lies beside others over several texts: one text after the other, kept for all.

What was run of a text stays when its visitor stops or leaves, and whoever asks for the same texts goes on from there.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from analysis.explain.regret import Cells, cells_of
from analysis.texts.gate_placement import MOST_TOKENS, GatePlacement, gate_placement
from analysis.texts.study import SAMPLES
from app.server.background_job import BackgroundJob
from app.server.forced_depth import DEPTH, GATES, KeptSweeps, Key, run_other_gates, sweep_depth
from hooks.frontier_record import Frontier
from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class Placed:
    """What is known of several texts."""

    done: int
    """Texts that were run, or cannot be."""
    left_out: tuple[str, ...]
    """Why some cannot be: a sentence each."""
    found: GatePlacement | None
    """What the others say together; None without any."""


@dataclass
class _OneOfSeveral:
    """The part of a job that is about one text."""

    job: BackgroundJob
    place: int
    texts: int

    def tell(self, share: float, message: str) -> None:
        """Note the progress in this text; raises as the job's own does."""
        self.job.tell((self.place + share) / self.texts, f"Text {self.place + 1:,} of {self.texts:,}: {message}")

    def turns(self) -> AbstractContextManager[Callable[[], None]]:
        return self.job.turns()


def place_gate(
    job: BackgroundJob, kept: KeptSweeps, loaded, key: Key, name: str, model: str, texts: Sequence[str]
) -> Placed:
    """Sweep the beginning of every text and read it under other gates; after each one, keep what they say together."""
    cells: list[Cells] = []
    points: list[Frontier] = []
    problems: list[str] = []
    placed = Placed(0, (), None)
    for place, text in enumerate(texts):
        part = _OneOfSeveral(job, place, len(texts))
        trace = _beginning(part, loaded, text)
        if isinstance(trace, str):
            problems.append(trace)
        else:
            its_text = trace.meta["text"]
            effects = sweep_depth(part, kept, loaded, (DEPTH, model, its_text), trace)
            cells.append(cells_of(effects))
            known = kept.get((GATES, model, its_text))
            points.append(known or run_other_gates(part, kept, loaded, (GATES, model, its_text), effects))
        of = name if name == SAMPLES else f"texts of “{name}”"
        found = gate_placement(f"{of}, cut to {MOST_TOKENS} tokens", cells, points) if cells else None
        placed = Placed(place + 1, tuple(problems), found)
        kept.change(key, lambda before, now=placed: now if before is None or before.done < now.done else before)
    return placed


def _beginning(job: _OneOfSeveral, loaded, text: str) -> RoutingTrace | str:
    """The trace of the beginning of a text; a sentence if there is none to sweep."""
    from app.server.captures import read_within_limits
    from hooks import capture

    job.tell(0, "Tracing its beginning…")
    try:
        ids = read_within_limits(loaded, text).ids[:MOST_TOKENS]
        with job.turns():
            trace = capture(loaded, loaded.tokenizer.decode(ids, skip_special_tokens=True))
    except ValueError as error:
        return f"{str(error).removesuffix('.')}."
    return trace if trace.num_tokens > 1 else "A text of one token has no next prediction to measure."


__all__ = ["Placed", "place_gate"]
