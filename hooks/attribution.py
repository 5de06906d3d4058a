"""The direction that a logit reads from the residual stream, and the measured effect of removing single writes."""

from collections.abc import Sequence

import numpy as np
import torch

from hooks.passes import to_numpy
from hooks.path_trace import PathTrace
from hooks.readout import LogitDirection
from hooks.rerun import OwnPass, rerun_token
from hooks.token_text import display_tokens
from hooks.trace import RoutingTrace
from sample_models.loading import LoadedModel

PLACES = {"embedding": "blocks.0.hook_resid_pre", "attention": "blocks.{}.hook_resid_mid"}
"""Where writes of these kinds enter the stream; loops and experts enter it at OUTPUT."""
OUTPUT = "blocks.{}.mlp.hook_out"


@torch.inference_mode()
def logit_direction(
    loaded: LoadedModel, paths: PathTrace, token: int, target: int, distractor: int | None = None
) -> LogitDirection:
    """The direction that the logit of `target` (minus that of `distractor`) reads at a captured token.

    Raises ValueError if the token was not captured or an id lies outside the vocabulary.
    """
    model, size = loaded.model, loaded.config.vocab_size
    chosen = [target] if distractor is None else [target, distractor]
    for token_id in chosen:
        if not 0 <= token_id < size:
            raise ValueError(f"token ids must be 0..{size - 1}, got {token_id}")
    stream = torch.tensor(paths.resid_final[paths.index(token)], dtype=model.dtype, device=model.device)
    logits = model.lm_head(model.model.norm(stream[None]))[0].float()
    head, signs = to_numpy(model.lm_head.weight[chosen]), np.array([1, -1])[: len(chosen)]
    names = display_tokens(loaded.tokenizer, chosen)
    return LogitDirection(
        token=token,
        target_id=target,
        target=names[0],
        distractor_id=distractor,
        distractor=names[1] if distractor is not None else None,
        vector=(signs @ head.astype(np.float64)) * paths.norm_weight,
        value=float(signs @ to_numpy(logits[chosen])),
    )


def remove_writes(
    loaded: LoadedModel,
    direction: LogitDirection,
    trace: RoutingTrace,
    writes: Sequence[tuple[int, str, np.ndarray]],
    *,
    own: OwnPass | None = None,
) -> np.ndarray:
    """How far the logit (difference) falls when one write is subtracted from the stream where it entered, [write].

    `trace` is that of the text. A write is (layer, kind, vector [hidden]), as `stream_writes` of
    `analysis.explain.ledger` lists them. Everything behind it is computed again: later layers with their loops and
    experts, and the final norm. The other loops of the same layer keep their states. `own` is the model's plain pass,
    whose keys and values of the tokens before are used; without it these tokens are run once more.
    """

    def without(vector: np.ndarray):
        minus = torch.tensor(vector, device=loaded.model.device)
        return lambda tensor, hook: (tensor - minus).to(tensor.dtype)

    variants = [{}]  # without edits, in the same batch
    variants += [{PLACES.get(kind, OUTPUT).format(layer): without(vector)} for layer, kind, vector in writes]
    logits = rerun_token(loaded, trace, direction.token, variants, past=own.past if own else None)
    read = logits[:, direction.target_id]
    if direction.distractor_id is not None:
        read = read - logits[:, direction.distractor_id]
    return to_numpy(read[0] - read[1:])


__all__ = ["logit_direction", "remove_writes"]
