"""The study of the chosen run: of the texts that its filter leaves, shared by all visitors."""

from collections.abc import Callable

from analysis.texts.study import study
from app.limits import MOST_TOKENS
from app.server import sample_studies
from app.server.runs import RunError, told
from app.server.sample_studies import RunKey, TextStudy
from app.session import run_choice


def why_none() -> str | None:
    """Why the chosen run cannot be studied; None if it can."""
    try:
        if run_choice.current_run() is None:
            return "There is no run to study."
        _key()
    except RunError as error:
        return str(error)
    return None


def read(progress: Callable[[float, str], None]) -> None:
    """Study the chosen run; an exception that `progress` raises ends it."""
    key, run, name = _key(), run_choice.current_run(), run_choice.run_name()
    message = f"{name}: comparing its texts with each other and with chance…"
    progress(0.0, message)
    chosen, result, left_out = run_choice.chosen_filter(), None, []
    try:
        with told(key.folder):
            if run.prompts(chosen).empty:
                left_out.append("The filter of the run leaves no text.")
            else:
                texts = run.texts(chosen, most_tokens=MOST_TOKENS)
                result = study(texts, name=name, progress=lambda share: progress(share, message))
    except RunError as error:
        left_out.append(str(error))
    if chosen != chosen.of_prompts():
        left_out.append("A study counts whole texts, so it follows only the sources and columns of the run's filter.")
    sample_studies.keep_run_study(TextStudy(key, result, left_out))


def finished() -> TextStudy | None:
    """The study of the chosen run, if somebody has had it made since the run changed."""
    return None if why_none() else sample_studies.run_studies().get(_key())


def _key() -> RunKey:
    run, chosen = run_choice.current_run(), run_choice.chosen_filter()
    return RunKey(run.folder, run.counts, chosen.sources, chosen.others)


__all__ = ["finished", "read", "why_none"]
