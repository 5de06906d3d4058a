"""RunReader: one model and one way of reading, for a run over many texts; and what the run's manifest says of them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hooks.capturing import capture, model_meta
from hooks.intervening import check_for_text
from hooks.interventions import as_json, from_json
from hooks.path_trace import PathTrace
from hooks.paths import capture_paths
from hooks.reading import Reading, read_many, refuse_untraceable
from hooks.routing_rows import TokenRows, row_sizes, token_rows
from hooks.token_text import display_tokens
from sample_models.intervention import Intervention
from sample_models.loading import LoadedModel


class RunReader:
    """Reads texts with a model, with or without its chat template, and under interventions."""

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        chat: bool = False,
        overlap: int | None = None,
        interventions: Sequence[Intervention] = (),
    ):
        """`overlap` is that of the windows of long texts, by default half of the context.

        Raises ValueError for a model that cannot be traced or has no chat template, and for interventions or an overlap
        that do not fit it.
        """
        refuse_untraceable(loaded)
        check_for_text(loaded, interventions, None)
        if chat:
            _ = loaded.chat
        context = loaded.config.max_position_embeddings
        overlap = context // 2 if overlap is None else overlap
        if not 0 <= overlap < context:
            raise ValueError(f"overlap must be 0..{context - 1} tokens for windows of {context}, got {overlap}")
        self.loaded, self.chat, self.overlap, self.interventions = loaded, chat, overlap, tuple(interventions)

    def read(self, texts: Sequence[str]) -> list[Reading | ValueError]:
        """The tokens of each text, or why it cannot be read."""
        found = read_many(self.loaded, texts, self.overlap, chat=self.chat)
        for i, reading in enumerate(found if self.interventions else ()):
            if isinstance(reading, Reading):
                try:
                    check_for_text(self.loaded, self.interventions, len(reading.ids))
                except ValueError as error:
                    found[i] = error
        return found

    def rows(self, readings: Sequence[Reading], between: Callable[[int], None] = lambda tokens: None) -> TokenRows:
        """As `token_rows` gives them."""
        return token_rows(self.loaded, readings, interventions=self.interventions, between=between)

    def display(self, ids: list[int]) -> list[str]:
        """Display strings of token ids."""
        return display_tokens(self.loaded.tokenizer, ids)

    @property
    def sizes(self) -> dict[str, Any]:
        """As `row_sizes` gives them."""
        return row_sizes(self.loaded, self.interventions)

    @property
    def model(self) -> dict[str, Any]:
        """The entries of a trace's `meta` about the model."""
        return model_meta(self.loaded)

    @property
    def tokenizer(self) -> dict[str, Any]:
        """What tells the tokenizer from another one."""
        tokenizer = self.loaded.tokenizer
        state = [tokenizer.backend_tokenizer.to_str(), json.dumps(tokenizer.special_tokens_map, default=str)]
        digest = hashlib.sha256("\n".join(state).encode()).hexdigest()
        return {"kind": type(tokenizer).__name__, "size": len(tokenizer), "sha256": digest}

    @property
    def settings(self) -> dict[str, Any]:
        """How texts are read, beside model and tokenizer."""
        return {"chat": self.chat, "overlap": self.overlap, "interventions": as_json(self.interventions)}


def path_reader(loaded: LoadedModel, settings: Mapping[str, Any], most_tokens: int) -> Callable[[str], PathTrace]:
    """What reads a text again as a run did that has these `settings` in its manifest, and captures the outputs of both
    paths of its first `most_tokens` tokens in all layers."""
    made = settings.get("interventions")
    how = {"chat": bool(settings.get("chat")), "interventions": from_json(made) if made else ()}

    def read(text: str) -> PathTrace:
        trace = capture(loaded, text, **how)
        return capture_paths(loaded, trace, tokens=(0, min(trace.num_tokens, most_tokens)))

    return read


__all__ = ["RunReader", "path_reader"]
