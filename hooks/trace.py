"""RoutingTrace: everything that the routing did with one text, as numpy arrays.

Names of axes, used everywhere in this project:
    layer   decoder layer, from 0 (the stream flows upwards)
    token   position in the text, from 0
    loop    pass through the shared FFN; entry 0 of a loop axis is loop 1
    expert  virtual sub-expert (a slice of the FFN of *that* layer), from 0
    k       rank among the chosen experts, best first
    top     rank among the model's predictions, best first
Indices count from 0; a number of `loops` counts from 1. Logarithms are natural, information is in nats.
"""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.special import softmax

from hooks.files import whole_file
from hooks.interventions import Intervention, from_json
from hooks.trace_checks import MAX_FILE_MB, PARTS, check_arrays, check_interventions, check_lists, check_values
from hooks.trace_display import one_line, strip_html
from hooks.windows import Window, reading_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike

FORMAT_VERSION = 1
INTERVENED_VERSION = 2
"""Of files with interventions, so that a program that knows of none refuses them and does not show them as plain."""
_LISTS = ("tokens", "next_tokens", "meta")  # kept in the file's JSON header, beside the arrays


@jaxtyped(typechecker=beartype)
@dataclass(frozen=True, eq=False, repr=False)
class RoutingTrace:
    """What every token did in every layer during one forward pass over one text.

    Construction checks that all arrays agree on every axis and raises `TypeError`/`ValueError` naming the one that
    does not. No batch axis: many texts are a list of traces.
    """

    tokens: list[str]
    """Display strings, one per token: lossless, with white space and lone bytes made visible (`hooks.token_text`)."""
    token_ids: Int[np.ndarray, " token"]
    """Ids in the tokenizer's vocabulary."""
    special: Bool[np.ndarray, " token"]
    """True for tokens that the tokenizer added (such as BOS): figures draw them, averages leave them out."""
    depth_logits: Float[np.ndarray, "layer token loop"]
    """Depth head's logits, W_loop H."""
    loops: Int[np.ndarray, "layer token"]
    """Passes through the FFN that ran, 1..max_loops."""
    gate: Float[np.ndarray, "layer token"]
    """lambda, the weight of the width path in the layer's output; 1 - lambda is the weight of the depth path."""
    width_ran: Bool[np.ndarray, "layer token"]
    """False where lambda = 0: the width path did not run, so the token did not route and has no experts to count."""
    expert_logits: Float[np.ndarray, "layer token expert"]
    """Router logits of every token, even where the width path did not run (they say what it would have chosen)."""
    expert_ids: Int[np.ndarray, "layer token k"]
    """Top-k experts, best first. Count them only where `width_ran`."""
    expert_weights: Float[np.ndarray, "layer token k"]
    """Softmax over the logits of the k chosen experts; rows sum to 1, unless `meta` names the parts of a model of
    another family, which may weigh by the softmax over all experts. Count them only where `width_ran`."""
    logprob: Float[np.ndarray, " token"]
    """log p(this token | the tokens before it), nats; NaN for the first token."""
    next_ids: Int[np.ndarray, "token top"]
    """The model's likeliest next tokens after each token."""
    next_tokens: list[list[str]]
    """Display strings of `next_ids`."""
    next_logprobs: Float[np.ndarray, "token top"]
    """Their log probabilities, nats."""
    next_entropy: Float[np.ndarray, " token"]
    """Entropy of the whole next-token distribution after each token, nats."""
    meta: dict[str, Any]
    """Where the numbers come from: model, weights_sha256, gates_trained, reads_ids, parameters, heads_parameters,
    config, text, dtype, versions, format_version. Also `windows` (context, overlap, number) if the text was read in
    more than one, `prompt_id` if the text has a name in a list, `weights_changed` if they were edited, replaced, moved
    or given adapters after they were loaded, `chat` if it is a user's message in the model's chat template, `family`,
    `parts` and `notes` if the model is of another family, which decides fewer things than a VersatileFFN does (arrays
    of what it does not decide have one entry on their axis and say nothing), `generated` if the model wrote a part of
    the text (`first`, its first token, and `sampling`, from which tokens on they were chosen how), and `interventions`
    if some of its decisions were not the model's own (as JSON; the property `interventions` gives them).
    """

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.next_tokens) == len(self.token_ids):
            raise ValueError(
                f"tokens, next_tokens and token_ids must have one entry per token, "
                f"got {len(self.tokens)}, {len(self.next_tokens)} and {len(self.token_ids)}"
            )
        for field in dataclasses.fields(self):
            if field.name not in _LISTS:
                getattr(self, field.name).setflags(write=False)  # one trace is shared by all views

    # Sizes ------------------------------------------------------------------------------------------------------

    @property
    def num_layers(self) -> int:
        return self.loops.shape[0]

    @property
    def num_tokens(self) -> int:
        return self.loops.shape[1]

    @property
    def max_loops(self) -> int:
        return self.depth_logits.shape[2]

    @property
    def num_experts(self) -> int:
        return self.expert_logits.shape[2]

    @property
    def own_k(self) -> int:
        """Experts that the model chooses for a token. Under interventions `expert_ids` may have room for more."""
        places = self.expert_ids.shape[2]
        own = self.meta.get("config", {}).get("num_experts_per_tok")
        return min(own, places) if self.interventions and type(own) is int and own > 0 else places

    # Derived: never stored ----------------------------------------------------------------------------------------

    @property
    def parts(self) -> frozenset[str]:
        """What the model decides for every token: some of `trace_checks.PARTS`, all unless `meta` says otherwise."""
        return frozenset(self.meta.get("parts", PARTS))

    @property
    def first_generated(self) -> int:
        """The first token that the model wrote; the number of tokens if it wrote none."""
        stated = self.meta.get("generated")
        return stated["first"] if stated else self.num_tokens

    @cached_property
    def interventions(self) -> tuple[Intervention, ...]:
        """What was decided otherwise than the model would have; none in a trace of the model's own choices."""
        stated = self.meta.get("interventions")
        return from_json(stated) if stated is not None else ()

    @cached_property
    def expert_ran(self) -> Bool[np.ndarray, "layer token k"]:
        """Which of `expert_ids` ran: those of tokens that routed and, under interventions, those with a weight."""
        ran = np.broadcast_to(self.width_ran[..., None], self.expert_ids.shape)
        return ran & (self.expert_weights > 0) if self.interventions else ran

    @cached_property
    def windows(self) -> list[Window]:
        """The windows that the text was read in, in order: one, unless it is longer than the trained context."""
        stated = self.meta.get("windows") or {"context": self.num_tokens, "overlap": 0}
        return reading_windows(self.num_tokens, stated["context"], stated["overlap"])

    def window_of(self, token: int) -> Window:
        """The window that a token's numbers come from: its pass saw the tokens from `first` on, and none before."""
        return next(window for window in self.windows if token < window.end)

    @cached_property
    def depth_probs(self) -> Float[np.ndarray, "layer token loop"]:
        """Softmax of the depth logits; rows sum to 1."""
        return softmax(self.depth_logits, axis=-1)

    @cached_property
    def expected_loops(self) -> Float[np.ndarray, "layer token"]:
        """E[L] = sum_l l * softmax(depth logits)_l, in 1..max_loops (paper Eq. 12)."""
        return self.depth_probs @ np.arange(1, self.max_loops + 1, dtype=self.depth_probs.dtype)

    @cached_property
    def difficulty_hard(self) -> Float[np.ndarray, "layer token"]:
        """(loops - 1) / (max_loops - 1), 0..1: the loops that ran."""
        return (self.loops - 1) / max(self.max_loops - 1, 1)

    @cached_property
    def difficulty_soft(self) -> Float[np.ndarray, "layer token"]:
        """(E[L] - 1) / (max_loops - 1), 0..1: the loops that the depth head expected."""
        return (self.expected_loops - 1) / max(self.max_loops - 1, 1)

    @property
    def surprisal(self) -> Float[np.ndarray, " token"]:
        """-log p of the token at this position, nats; NaN for the first."""
        return -self.logprob

    @property
    def next_surprisal(self) -> Float[np.ndarray, " token"]:
        """-log p of the next token, which the model predicts at this position, nats; NaN for the last."""
        return np.append(-self.logprob[1:], np.nan).astype(self.logprob.dtype)

    def __repr__(self) -> str:
        return one_line(self)

    def _repr_html_(self) -> str:
        return strip_html(self)

    # Other programs' forms ------------------------------------------------------------------------------------------

    def to_routed_experts(self) -> Int[np.ndarray, "token layer k"]:
        """Chosen experts as vLLM's `routed_experts`: int16, best first, and -1 where an expert did not run."""
        chosen = np.where(self.expert_ran, self.expert_ids, -1)
        return np.ascontiguousarray(chosen.transpose(1, 0, 2), dtype=np.int16)

    @classmethod
    def from_router_logits(
        cls,
        router_logits: "ArrayLike | Sequence[ArrayLike]",
        *,
        logits: "ArrayLike",
        token_ids: "ArrayLike",
        **how: Any,
    ) -> "RoutingTrace":
        """The trace of any mixture of experts, from the arrays of one forward pass over one text.

        `router_logits` is [layer, token, expert], or one [token, expert] for each layer with a router, as
        `output_router_logits=True` gives them in transformers; `logits` [token, vocab] are the model's predictions
        after each token, and `token_ids` [token] its input. `hooks.router_logits.router_fields` describes the other
        arguments: `k` (experts per token), `tokenizer`, `special`, `expert_ids`, `expert_weights`, `model`, `config`.

        Such a model has no depth path: every token takes one loop, λ is 1, and `meta["parts"]` says so. Layers count
        those with a router. Raises ValueError for arrays that do not fit each other or are not finite.
        """
        from hooks.router_logits import router_fields

        trace = cls(**router_fields(router_logits, logits=logits, token_ids=token_ids, **how))
        return cls.from_bytes(trace.to_bytes(), name="this trace")  # whatever a file must be, it is

    # Tables and files -----------------------------------------------------------------------------------------------

    def to_frame(self) -> "pd.DataFrame":
        """Tidy table, one row per layer x token, layers outermost.

        `expert_ids` and `expert_weights` are lists, best first, and None where the token did not route. If the model
        wrote a part of the text, `generated` says of every token whether it did. Of a model that does not decide them,
        `gate` and the difficulties are missing.
        """
        import pandas as pd

        shape = self.loops.shape
        layer, token = (axis.ravel() for axis in np.indices(shape))
        routed, experts_ran = self.width_ran.ravel(), self.expert_ran.reshape(-1, self.expert_ids.shape[-1])

        def where_routed(values: np.ndarray) -> list[list | None]:
            rows = values.reshape(experts_ran.shape)
            return [
                row[each].tolist() if ran else None for row, each, ran in zip(rows, experts_ran, routed, strict=True)
            ]

        frame = pd.DataFrame(
            {
                "layer": layer,
                "token": token,
                "text": np.array(self.tokens, dtype=object)[token],
                "special": self.special[token],
                "loops": self.loops.ravel(),
                "gate": self._if_decided("gate", self.gate).ravel(),
                "width_ran": routed,
                "expert_ids": where_routed(self.expert_ids),
                "expert_weights": where_routed(self.expert_weights),
                "difficulty_hard": self._if_decided("depth", self.difficulty_hard).ravel(),
                "difficulty_soft": self._if_decided("depth", self.difficulty_soft).ravel(),
                "logprob": self.logprob[token],
            }
        )
        if self.first_generated < self.num_tokens:
            frame["generated"] = token >= self.first_generated
        return frame

    def _if_decided(self, part: str, values: np.ndarray) -> np.ndarray:
        """The values, or as many missing ones if the model does not decide this part."""
        return values if part in self.parts else np.full_like(values, np.nan)

    def to_bytes(self) -> bytes:
        """The trace file: safetensors with the arrays, its JSON header with the strings. No pickle."""
        arrays = {
            field.name: np.ascontiguousarray(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name not in _LISTS
        }
        header = {name: json.dumps(getattr(self, name), ensure_ascii=False) for name in _LISTS}
        version = INTERVENED_VERSION if self.interventions else FORMAT_VERSION
        return save(arrays, metadata={**header, "format_version": str(version)})

    def save(self, path: str | Path) -> None:
        """Write the trace file, by convention `*.trace.safetensors`. If interrupted, it leaves no file of this name."""
        with whole_file(path) as part:
            part.write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> "RoutingTrace":
        """Read a trace file; needs no model.

        The file may come from anywhere, so it is checked first (`hooks.trace_checks`): its arrays must fit each other,
        its sizes must be within the limits, and its numbers must be possible. Raises ValueError with one sentence if
        they are not.
        """
        size = Path(path).stat().st_size
        if size > MAX_FILE_MB * 2**20:
            raise ValueError(f"{path} has {size / 2**20:,.0f} MB, the limit is {MAX_FILE_MB}; trace a shorter text")
        return cls.from_bytes(Path(path).read_bytes(), name=str(path))

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str = "the file") -> "RoutingTrace":
        """`load` for a file that is already in memory; error messages call it `name`."""
        try:
            arrays = load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
        except (
            SafetensorError,
            KeyError,
            ValueError,
            RecursionError,
        ) as error:  # KeyError: a type that numpy lacks
            reason = str(error).partition("\n")[0][:80]
            raise ValueError(f"{name} is not a readable trace file ({reason}); trace the text again") from error
        version = header.get("format_version")
        if version not in (str(FORMAT_VERSION), str(INTERVENED_VERSION)):
            stated = f"format version {version[:20]}" if version else "no trace header"
            raise ValueError(f"{name} has {stated}, this program reads version {FORMAT_VERSION}; trace the text again")
        try:
            if missing := [entry for entry in _LISTS if entry not in header]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            lists = {entry: json.loads(header[entry]) for entry in _LISTS}
            check_lists(**lists)
            fields = dataclasses.fields(cls)
            check_arrays({field.name: field.type for field in fields if field.name not in _LISTS}, arrays)
            trace = cls(**arrays, **lists)
            check_values(arrays, lists["next_tokens"], lists["meta"])
            check_interventions(arrays, trace.interventions)
        except (ValueError, RecursionError) as error:
            reason = str(error).partition("\n")[0][:120]
            raise ValueError(f"{name} is not a valid trace ({reason}); trace the text again") from error
        return trace


__all__ = ["FORMAT_VERSION", "INTERVENED_VERSION", "RoutingTrace"]
