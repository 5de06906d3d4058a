"""Reading: the token ids and windows in which a model reads a text, from its tokenizer or from a trace."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hooks.trace import RoutingTrace
from hooks.trace_checks import PARTS
from hooks.windows import Window, reading_windows
from sample_models.foreign import told_as

if TYPE_CHECKING:
    from sample_models.loading import LoadedModel


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it."""

    text: str
    ids: list[int]
    special: list[bool]
    """True for the tokens that the tokenizer added."""
    context: int
    overlap: int
    windows: list[Window]
    """One, or more for a text longer than `context`, each overlapping the one before by `overlap` tokens."""
    chat: bool = False
    """Whether the text is a user's message in the model's chat template."""
    generated: dict[str, Any] | None = None
    """Of a text that the model wrote in part: the entry `generated` of `RoutingTrace.meta`."""

    @property
    def meta(self) -> dict[str, Any]:
        """The entries of `RoutingTrace.meta` about the reading, those that say something."""
        windows = {"context": self.context, "overlap": self.overlap, "number": len(self.windows)}
        told = {"windows": windows if len(self.windows) > 1 else None, "chat": self.chat, "generated": self.generated}
        return {name: value for name, value in told.items() if value}


def read(loaded: "LoadedModel", text: str | RoutingTrace, overlap: int | None = None, *, chat: bool = False) -> Reading:
    """Token ids and windows of a text. For a trace they are those of the trace, and the tokenizer is not used.

    With `chat` the text is put into the model's chat template as a user's message. The tokenizer adds nothing to a text
    that stands in the template, which has it all.

    Raises ValueError if the tokenizer cannot read the text, if that holds no token, if the overlap is not smaller than
    the context, for a trace of another model, or if there is no chat template that can be used.
    """
    if isinstance(text, RoutingTrace):
        return _read_again(loaded, text)
    if loaded.reads_ids:
        loaded.tokenizer.check(text)
    text = loaded.chat.as_message(text) if chat else text
    chat = loaded.is_chat(text)
    with told_as("the tokenizer of this model cannot read this text", "give another text"):
        encoded = loaded.tokenizer(text, return_special_tokens_mask=True, add_special_tokens=not chat, verbose=False)
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    if not len(ids) > sum(special):
        raise ValueError("the text is empty: it holds no token to trace; type at least one character")
    context = loaded.config.max_position_embeddings
    overlap = context // 2 if overlap is None else overlap
    windows = reading_windows(len(ids), context, overlap)
    return Reading(text, ids, [bool(flag) for flag in special], context, overlap, windows, chat)


def _read_again(loaded: "LoadedModel", trace: RoutingTrace) -> Reading:
    refuse_other_model(loaded, trace)
    stated = trace.meta.get("windows") or {"context": loaded.config.max_position_embeddings, "overlap": 0}
    ids, special = trace.token_ids.tolist(), trace.special.tolist()
    text, chat = trace.meta.get("text") or "", trace.meta.get("chat") is True
    generated = trace.meta.get("generated")
    return Reading(text, ids, special, stated["context"], stated["overlap"], trace.windows, chat, generated)


def refuse_untraceable(loaded: "LoadedModel") -> None:
    """Raise ValueError for a VersatileFFN without all of its parts: its ffn must be 'versatile'."""
    if loaded.adapted is None:
        refuse_without_routing(loaded)


def refuse_without_routing(loaded: "LoadedModel") -> None:
    """Raise ValueError unless the model's ffn is 'versatile': others have no gate between width and depth."""
    if loaded.adapted is not None:
        raise ValueError(
            f"{loaded.name} is a {loaded.adapted.family} and has no gate between width and depth, which this needs: "
            "choose a VersatileFFN model"
        )
    if loaded.config.parts != PARTS:
        raise ValueError(
            f"{loaded.name} has ffn {loaded.config.ffn!r}, without a gate between width and depth to trace: choose a "
            "model with ffn 'versatile'"
        )


def refuse_other_model(loaded: "LoadedModel", trace: RoutingTrace) -> None:
    """Raise ValueError unless the trace was made by the weights of this model, which is in eval mode."""
    if any(module.training for module in loaded.model.modules()):
        raise ValueError(
            f"{loaded.name} is in training mode, where it draws its loops at random: call its eval() first"
        )
    made_by = trace.meta.get("weights_sha256") or "unknown", trace.meta.get("dtype") or "unknown"
    own = loaded.weights_sha256, str(loaded.model.dtype).removeprefix("torch.")
    if made_by != own:
        raise ValueError(
            f"this trace was made by {trace.meta.get('model') or 'an unknown model'} (weights {made_by[0][:12]}, "
            f"{made_by[1]}) and cannot be replayed in {loaded.name} (weights {own[0][:12]}, {own[1]}): trace the "
            "text with this model"
        )


def refuse_intervened(trace: RoutingTrace, what: str) -> None:
    """Raise ValueError for a trace with interventions, of which `what` would not be true."""
    if trace.interventions:
        raise ValueError(
            f"this trace was made with interventions, and {what} is of the model's own choices: trace the text without "
            "them"
        )


__all__ = ["Reading", "read", "refuse_intervened", "refuse_other_model", "refuse_untraceable"]
__all__ += ["refuse_without_routing"]
