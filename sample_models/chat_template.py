"""The chat template of a model: what it puts round a text to make it a user's message in a conversation."""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from sample_models.foreign import brief, told_as

CLOCK_S = 20
"""Seconds by the clock for rendering a template."""
MAX_TEMPLATE = 200_000
"""Characters of a template; the largest known have some ten thousand."""
TRIAL = (sys.executable, "-m", f"{__package__}.chat_trial")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChatTemplate:
    """What stands before and after a user's message, up to where the model's answer would begin."""

    before: str
    after: str

    def as_message(self, text: str) -> str:
        """The text as a user's message; unchanged if it is one already."""
        return text if self.is_message(text) else f"{self.before}{text}{self.after}"

    def is_message(self, text: str) -> bool:
        """Whether a text is a user's message in this template."""
        return (
            len(text) > len(self.before) + len(self.after)
            and text.startswith(self.before)
            and text.endswith(self.after)
        )


def read_chat_template(tokenizer: PreTrainedTokenizerBase, name: str) -> ChatTemplate:
    """The chat template of a tokenizer, rendered once by a process of its own, since it may come from anywhere.

    `name` is that of the model, for the message. Raises ValueError with one sentence for a template that cannot be
    rendered, takes too much time or memory, or changes the message.
    """
    sentence, remedy = f"the chat template of {name} cannot be used", "trace the text without it"
    with told_as(sentence, remedy):
        template, tokens = tokenizer.get_chat_template(), tokenizer.special_tokens_map
    if not isinstance(template, str) or len(template) > MAX_TEMPLATE:
        raise ValueError(f"{sentence} (it is no text of at most {MAX_TEMPLATE:,} characters): {remedy}")
    tokens = {role: token for role, token in tokens.items() if isinstance(token, str)}
    try:
        ended = subprocess.run(
            TRIAL,
            cwd=Path(__file__).parents[1],
            input=json.dumps({"template": template, "tokens": tokens}).encode(),
            capture_output=True,
            timeout=CLOCK_S,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{sentence} (it takes too long): {remedy}") from None
    if ended.returncode:
        log.warning("the chat template of %s ended with %d: %s", name, ended.returncode, ended.stderr[-500:])
        raise ValueError(f"{sentence} (it takes too much time or memory): {remedy}")
    answer = json.loads(ended.stdout)
    if "refused" in answer:
        raise ValueError(f"{sentence} ({brief(answer['refused'])}): {remedy}")
    return ChatTemplate(**answer)


__all__ = ["ChatTemplate", "read_chat_template"]
