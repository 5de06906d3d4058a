"""What the trace of a generated text says of it: its characters, and the interventions under which it was written."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sample_models.intervention import Intervention
from sample_models.interventions import UseRouting

if TYPE_CHECKING:
    from sample_models.loading import LoadedModel


class Change(NamedTuple):
    """An intervention and the first token for which it holds."""

    first: int
    intervention: Intervention


def continued_text(loaded: "LoadedModel", prompt: str, ids: Sequence[int], prompt_tokens: int) -> str:
    """The prompt as it was given, and after it the text of the generated ids.

    These are decoded after the prompt's, since some tokenizers leave out the first space of what they decode.
    """
    if loaded.reads_ids:
        return " ".join([prompt.strip(), *map(str, ids[prompt_tokens:])])

    def decoded(some: Sequence[int]) -> str:
        return loaded.tokenizer.decode(list(some), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    before, whole = decoded(ids[:prompt_tokens]), decoded(ids)
    added = whole[len(before) :] if whole.startswith(before) else decoded(ids[prompt_tokens:])
    return prompt + added


def effective(changes: Sequence[Change], tokens: int) -> tuple[Intervention, ...]:
    """The interventions that a text of so many tokens was run under, each with the tokens for which it held.

    Those that held for no token are left out. `capture` of the same text under these does the same.
    """
    found = []
    for first, intervention in changes:
        known = tokens  # of these it says something
        if isinstance(intervention, UseRouting):
            known = intervention.routing.loops.shape[1]
        named = range(tokens) if intervention.tokens is None else intervention.tokens
        held = tuple(token for token in named if first <= token < min(tokens, known))
        if intervention.tokens is None and first == 0 and known == tokens:
            found.append(intervention)
        elif held:
            found.append(replace(intervention, tokens=held))
    return tuple(found)


def widened(rows: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """Field of the trace -> [layer, token, ...], from its numbers of each token, [layer, ...].

    Where an intervention gives some tokens more experts than others, these get the best other experts with weight 0,
    as `capture` has it.
    """
    places = max(ids.shape[-1] for ids in rows["expert_ids"])
    fields = {name: list(values) for name, values in rows.items()}
    for at, ids in enumerate(fields["expert_ids"]):
        if missing := places - ids.shape[-1]:
            order = np.argsort(-fields["expert_logits"][at], axis=-1, kind="stable")
            left = np.stack([row[~np.isin(row, own)][:missing] for row, own in zip(order, ids, strict=True)])
            weights = fields["expert_weights"][at]
            fields["expert_ids"][at] = np.concatenate([ids, left.astype(ids.dtype)], axis=-1)
            fields["expert_weights"][at] = np.pad(weights, [(0, 0), (0, missing)])
    return {name: np.stack(values, axis=1) for name, values in fields.items()}


__all__ = ["Change", "continued_text", "effective", "widened"]
