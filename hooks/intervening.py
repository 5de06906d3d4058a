"""Interventions in the passes over a text, window by window, and in passes that somebody else runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from hooks.hook_points import instrument
from hooks.trace import RoutingTrace
from hooks.windows import Window
from sample_models import intervening
from sample_models.intervening import check_interventions, intervention_edits, sizes_of
from sample_models.intervention import Intervention
from sample_models.loading import LoadedModel
from sample_models.taps import Edit

_outside: ContextVar[bool] = ContextVar("intervened_outside_of_capture", default=False)


@contextmanager
def intervened(loaded: LoadedModel, interventions: Sequence[Intervention]) -> Iterator[None]:
    """Apply interventions to the passes that run in this context, as `loaded.model.generate(...)` or a forward pass.

    Tokens are counted by the positions of the pass: with cached keys and values from the tokens before it on, and with
    padding on the left from where `position_ids` say. They end with the block, also after an error, and no other thread
    sees them. For a trace use `capture(..., interventions=...)`, which writes them into it.

    Raises ValueError for an intervention that does not fit the model.
    """
    instrument(loaded.model)
    token = _outside.set(True)
    try:
        with intervening.intervened(loaded.model, interventions):
            yield
    finally:
        _outside.reset(token)


def refuse_outside() -> None:
    """Raise ValueError inside `intervened`, where a trace would not say what was done to it."""
    if _outside.get():
        raise ValueError("a trace inside `intervened` would not name its interventions: give them to capture instead")


def window_edits(
    loaded: LoadedModel, interventions: Sequence[Intervention], windows: Sequence[Window]
) -> dict[str, Edit]:
    """Edits of the pass whose rows are these windows of their texts; one window stands for all rows."""
    if not interventions:
        return {}
    first, own = ([getattr(window, name) for window in windows] for name in ("first", "own"))
    return intervention_edits(loaded.config, interventions, first=first, own=own, device=loaded.model.device)


def edits_of(loaded: LoadedModel, trace: RoutingTrace, window: Window) -> dict[str, Edit]:
    """Edits that repeat the interventions of a trace in a pass over one of its windows."""
    return window_edits(loaded, trace.interventions, [window])


def check_for_text(loaded: LoadedModel, interventions: Sequence[Intervention], tokens: int | None) -> None:
    """Raise ValueError unless these are interventions that fit the model and a text of so many tokens, if known."""
    check_interventions(interventions, sizes_of(loaded.config, tokens))


__all__ = ["check_for_text", "edits_of", "intervened", "refuse_outside", "window_edits"]
