"""Tokens of a run that were chosen one by one, as a short text that the browser's tab keeps."""

import json

import numpy as np

from analysis.runs.chosen import MOST_CHOSEN, PLACES, ChosenTokens
from app.texts.packing import packed, unpacked

MOST_BYTES = 24 * MOST_CHOSEN
"""Unpacked: two numbers of at most ten digits for each token."""


def chosen_to_text(chosen: ChosenTokens) -> str:
    """The tokens as text: how far each prompt is from the one before, and each token's place in its prompt."""
    prompt, token = np.divmod(chosen.keys, PLACES)
    return packed(json.dumps([np.diff(prompt, prepend=0).tolist(), token.tolist()], separators=(",", ":")))


def chosen_from_text(text: str, name: str) -> ChosenTokens:
    """The tokens of the run of this name that `chosen_to_text` gave. Raises ValueError for anything else."""
    try:
        prompt, token = (np.array(each, np.int64) for each in json.loads(unpacked(text, MOST_BYTES)))
        prompt = np.cumsum(prompt)
        fit = prompt.ndim == token.ndim == 1 and prompt.shape == token.shape and len(prompt) > 0
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError("these are no tokens of a run") from error
    if not fit or min(prompt.min(), token.min()) < 0 or max(prompt.max(), token.max()) >= 2**31:
        raise ValueError("these are no tokens of a run")
    return ChosenTokens(prompt, token, name)


__all__ = ["chosen_from_text", "chosen_to_text"]
