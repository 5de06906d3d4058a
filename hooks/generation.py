"""Generation: a text that grows token by token, with its routing, on cached keys and values.

Every token is run once, and what it did is kept. A generation can be stopped after any token, continued, stepped back,
and branched from any token on with interventions; its trace needs no second run.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import DynamicCache, LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from hooks.capturing import Part, predictions, refuse_not_finite, routing_trace
from hooks.eval_mode import in_eval_mode
from hooks.grown_text import Change, continued_text, effective, widened
from hooks.hook_points import instrument
from hooks.intervening import check_for_text, refuse_outside
from hooks.reading import Reading, read, refuse_untraceable
from hooks.rerun import cache_before
from hooks.sampling import ENDED, FULL, Sampling
from hooks.tap_tensors import names_of, routing_of_tokens, tap_names
from hooks.token_text import display_tokens
from hooks.trace import RoutingTrace
from hooks.windows import reading_windows
from sample_models.intervening import intervention_edits
from sample_models.intervention import Intervention
from sample_models.loading import LoadedModel
from sample_models.taps import Edit, edited, record

PIECE = 64
"""Most tokens of a pass: a long prompt is read in pieces, so that one can stop in between."""


class Step(NamedTuple):
    """One token that was added, and what it did."""

    position: int
    """In the text, from 0."""
    token_id: int
    token: str
    """Display string."""
    logprob: float
    """Log probability that the model, unscaled, gave the token, nats."""
    routing: dict[str, np.ndarray]
    """Field of the trace -> its numbers of this token, [layer, ...]; `loop_choice` counts from 0."""

    @property
    def loops(self) -> np.ndarray:
        """Passes through the FFN [layer], from 1."""
        return self.routing["loop_choice"] + 1


class Written(NamedTuple):
    """What a generation has written and how, without its numbers: it can be gone on with from this alone."""

    reading: Reading
    """Of the prompt."""
    ids: tuple[int, ...]
    """Of prompt and text."""
    chosen_by: tuple[Sampling, ...]
    """How each generated token was chosen."""
    changes: tuple[Change, ...]


class _Row(NamedTuple):
    """What is kept of a token that was run."""

    routing: dict[str, np.ndarray]
    """Field of the trace -> [layer, ...]."""
    top_ids: np.ndarray
    top_logprobs: np.ndarray
    entropy: np.ndarray


class Generation:
    """A text that grows. Each belongs to one thread at a time; several may share a model."""

    def __init__(
        self,
        loaded: LoadedModel,
        prompt: str | Reading,
        *,
        sampling: Sampling | None = None,
        interventions: Sequence[Intervention] = (),
        chat: bool = False,
    ):
        """Nothing runs before the first step. `interventions` hold for all tokens, those to come too; `chat` puts the
        prompt into the model's chat template.

        Special tokens that the tokenizer would put behind the prompt are left out, since the text goes on.

        Raises ValueError if the prompt cannot be read or leaves no room in the trained context, if an intervention does
        not fit the model, or if the model's ffn is not 'versatile'.
        """
        refuse_untraceable(loaded)
        reading = prompt if isinstance(prompt, Reading) else read(loaded, prompt, chat=chat)
        check_for_text(loaded, interventions, None)
        self.loaded, self.reading, self.sampling = loaded, reading, sampling or Sampling()
        self.ids = list(reading.ids)
        while reading.special[len(self.ids) - 1]:
            self.ids.pop()
        self.prompt_tokens = len(self.ids)
        if self.prompt_tokens >= self.context:
            raise ValueError(
                f"the prompt has {self.prompt_tokens:,} tokens and {loaded.name} was trained on texts of up to "
                f"{self.context:,}: give a shorter prompt, so that there is room to generate"
            )
        self.changes = tuple(Change(0, each) for each in interventions)
        self._chosen_by: list[Sampling] = []  # of each generated token
        self._rows: list[_Row] = []
        self._logprobs = [float("nan")] * len(self.ids)  # of each token, once those before are read
        self._past, self._logits = DynamicCache(), None
        self._edits: dict[int, dict[str, Edit]] = {}
        instrument(loaded.model)

    @classmethod
    def of(cls, loaded: LoadedModel, written: Written, sampling: Sampling) -> "Generation":
        """A generation that goes on where another one was, which may be gone. All of its text is unread."""
        found = cls(loaded, written.reading, sampling=sampling)
        found.ids, found._chosen_by, found.changes = list(written.ids), list(written.chosen_by), written.changes
        found._logprobs = [float("nan")] * len(found.ids)  # known once they are read
        return found

    # What there is ----------------------------------------------------------------------------------------------------

    @property
    def context(self) -> int:
        """Most tokens of prompt and text together: the length on which the model was trained."""
        return self.loaded.config.max_position_embeddings

    @property
    def generated(self) -> int:
        """Number of generated tokens."""
        return len(self.ids) - self.prompt_tokens

    @property
    def written(self) -> Written:
        """What was written so far."""
        return Written(self.reading, tuple(self.ids), tuple(self._chosen_by), self.changes)

    @property
    def nbytes(self) -> int:
        """Bytes of the cached keys and values."""
        return sum(tensor.nbytes for layer in self._past for tensor in layer[:2] if tensor is not None)

    @property
    def unread(self) -> int:
        """Tokens of the text that have still to be run: those of a new prompt, or of what a branch changes."""
        return len(self.ids) - len(self._rows)

    @property
    def finished(self) -> str | None:
        """ENDED after the model's end-of-text token, FULL where the trained context is; None if it can go on."""
        if len(self.ids) >= self.context:
            return FULL
        return ENDED if self.generated and self.ids[-1] in self._end_ids() else None

    # What one does with it --------------------------------------------------------------------------------------------

    def advance(self) -> Step | None:
        """The shortest piece of work: run the next piece of what is unread, which gives None, or add one token.

        It goes on behind an end-of-text token. Raises ValueError if the trained context is full, and NotFiniteError for
        a model whose numbers are not finite.
        """
        if self.unread > 0:
            self._run_piece()
            return None
        if self.finished == FULL:
            raise ValueError(f"the text fills the {self.context:,} tokens of {self.loaded.name}: step back or branch")
        position, token_id = len(self.ids), self._choose()
        logprob = float(self._logits.log_softmax(dim=-1)[token_id])
        self.ids.append(token_id)
        self._logprobs.append(logprob)
        self._chosen_by.append(self.sampling)
        self._run_piece()
        display = display_tokens(self.loaded.tokenizer, [token_id])[0]
        return Step(position, token_id, display, logprob, self._rows[-1].routing)

    def steps(self, tokens: int) -> Iterator[Step]:
        """Add up to so many tokens, one at a time; the text may end before."""
        added = 0
        while added < tokens and not self.finished:
            if step := self.advance():
                added += 1
                yield step

    def step_back(self, tokens: int = 1) -> None:
        """Take back the last generated tokens. ValueError if there are not so many."""
        if not 0 < tokens <= self.generated:
            raise ValueError(f"tokens to step back must be 1..{self.generated}, those generated, got {tokens}")
        self._cut(len(self.ids) - tokens)
        self._forget_from(len(self.ids) - 1)  # the logits after the last token are not kept

    def branch(
        self, token: int, interventions: Sequence[Intervention] = (), *, sampling: Sampling | None = None
    ) -> "Generation":
        """Another generation with the same text up to and with `token`, from which on the interventions hold as well.

        At least the prompt stays. An intervention without tokens holds for all from `token` on. What this generation
        already does otherwise is kept. This one does not change, and what both share is not run again.

        Raises ValueError for a token that is not there, or an intervention that does not fit or names no token from
        there on.
        """
        if not 0 <= token < len(self.ids):
            raise ValueError(f"token must be 0..{len(self.ids) - 1}, those of the text, got {token}")
        check_for_text(self.loaded, interventions, None)
        for each in interventions:
            if each.tokens is not None and each.tokens[-1] < token:
                raise ValueError(f"{each.kind}: tokens must be some from {token} on, where the branch begins")
        other = object.__new__(Generation)
        other.__dict__ = self.__dict__ | {
            "ids": self.ids[:], "_chosen_by": self._chosen_by[:], "_rows": self._rows[:],
            "_logprobs": self._logprobs[:], "_edits": {}, "sampling": sampling or self.sampling,
            "changes": (*self.changes, *(Change(token, each) for each in interventions)),
        }  # fmt: skip
        other._past = cache_before(self._past, self._past.get_seq_length())
        other._cut(max(token + 1, self.prompt_tokens))
        other._forget_from(token)
        return other

    def trace(self) -> RoutingTrace:
        """The trace of prompt and generated text; `meta["generated"]` says where the prompt ends and how tokens were
        chosen. Runs what is unread, and nothing else.
        """
        while self.unread > 0:
            self._run_piece()
        changed = effective(self.changes, len(self.ids))
        reading = Reading(
            text=continued_text(self.loaded, self.reading.text, self.ids, self.prompt_tokens),
            ids=self.ids[:],
            special=[*self.reading.special[: self.prompt_tokens], *[False] * self.generated],
            context=self.context,
            overlap=0,
            windows=reading_windows(len(self.ids), self.context, 0),
            chat=self.reading.chat,
            generated=self._how_generated(),
        )
        part = Part(
            widened({name: [row.routing[name] for row in self._rows] for name in self._rows[0].routing}),
            (
                np.array([*self._logprobs[1:], 0], dtype=np.float32),
                *(np.stack([row[at] for row in self._rows]) for at in range(1, 4)),
            ),
        )
        return routing_trace(self.loaded, reading, [part], changed)

    # Parts of these ---------------------------------------------------------------------------------------------------

    def _cut(self, tokens: int) -> None:
        """Keep the first `tokens` of the text."""
        del self.ids[tokens:], self._logprobs[tokens:], self._chosen_by[tokens - self.prompt_tokens :]
        self._forget_from(tokens)

    def _forget_from(self, token: int) -> None:
        """What tokens from here on did is not known any more, until they are run again."""
        if token < len(self._rows):
            del self._rows[token:]
            self._past = cache_before(self._past, token)

    @torch.inference_mode()
    def _run_piece(self) -> None:
        """Run the next tokens that are unread, as many as one pass takes: all are under the same interventions."""
        refuse_outside()
        first = len(self._rows)
        ends = [first + PIECE, len(self.ids), *(change.first for change in self.changes if change.first > first)]
        end, model = min(ends), self.loaded.model
        names = names_of(self.loaded.config)
        ids = torch.tensor([self.ids[first:end]], device=model.device)
        try:
            with (
                in_eval_mode(model),
                edited(self._edits_at(first)),
                record(tap_names(names)) as seen,
            ):
                logits = model(ids, past_key_values=self._past, use_cache=True).logits[0]
            routing = routing_of_tokens(self.loaded.config, names, seen, 0, slice(0, end - first))
            refuse_not_finite(routing, logits)
        except BaseException:  # a stopped pass has filled the caches of some layers
            self._past = cache_before(self._past, first)
            raise
        following = self.ids[first + 1 : end + 1]
        logprob_of_next, *predicted = predictions(logits, following)
        self._logprobs[first + 1 : end + 1] = logprob_of_next[: len(following)].tolist()
        for at in range(end - first):
            self._rows.append(
                _Row({field: values[:, at] for field, values in routing.items()}, *(each[at] for each in predicted))
            )
        self._logits = logits[-1].float()

    def _edits_at(self, position: int) -> dict[str, Edit]:
        """Edits that apply what holds for a token; the same for all up to where another change begins."""
        held = [change.intervention for change in self.changes if change.first <= position]
        if len(held) not in self._edits:
            edits = intervention_edits(self.loaded.config, held, device=self.loaded.model.device) if held else {}
            self._edits[len(held)] = edits
        return self._edits[len(held)]

    @torch.inference_mode()
    def _choose(self) -> int:
        """Id of the next token."""
        scores = _processors(self.sampling)(torch.tensor([self.ids], device=self._logits.device), self._logits[None])
        if self.sampling.is_greedy:
            return int(scores.argmax(dim=-1))
        dice = torch.Generator(scores.device).manual_seed(self.sampling.seed_at(len(self.ids)))
        return int(torch.multinomial(scores.softmax(dim=-1), 1, generator=dice))

    def _end_ids(self) -> list[int]:
        end = self.loaded.model.generation_config.eos_token_id
        return [] if end is None else [end] if isinstance(end, int) else list(end)

    def _how_generated(self) -> dict:
        """The entry `generated` of the trace's `meta`."""
        runs: list[tuple[int, Sampling]] = []
        for position, sampling in enumerate(self._chosen_by, start=self.prompt_tokens):
            if not runs or runs[-1][1] != sampling:
                runs.append((position, sampling))
        sampled = [{"first": first} | sampling.as_json() for first, sampling in runs]
        return {"first": self.prompt_tokens, "sampling": sampled}


def _processors(sampling: Sampling) -> LogitsProcessorList:
    """transformers' own processors, in the order in which its `generate` applies them."""
    processors = LogitsProcessorList()
    if sampling.is_greedy:
        return processors
    if sampling.temperature != 1:
        processors.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k is not None:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1:
        processors.append(TopPLogitsWarper(float(sampling.top_p)))
    return processors


__all__ = ["Change", "Generation", "Step", "Written"]
