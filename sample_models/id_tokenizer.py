"""The tokenizer for a model that came without one: a text is a row of token ids, as in "12 7 99"."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


class IdTokenizer(PreTrainedTokenizerFast):
    """Splits at white space into whole numbers 0..size-1, which are the token ids.

    Calling it raises ValueError with one sentence for a text that contains anything else.
    """

    def __init__(self, size: int):
        words = Tokenizer(models.WordLevel({str(i): i for i in range(size)}))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        super().__init__(tokenizer_object=words)
        self.size = size

    def __call__(self, text, *args, **kwargs):
        for single in [text] if isinstance(text, str) else text:
            self.check(single)
        return super().__call__(text, *args, **kwargs)

    def check(self, text: str) -> None:
        """Raise ValueError that names the first word of the text that is not a token id."""
        for word in text.split():
            if not (word.isascii() and word.isdecimal() and len(word) <= 12 and str(int(word)) == word) or (
                int(word) >= self.size
            ):
                shown = word if len(word) <= 20 else word[:19] + "…"
                raise ValueError(
                    f"this model has no tokenizer: type token ids (whole numbers from 0 to {self.size - 1}) separated "
                    f"by spaces, got {shown!r}"
                )


__all__ = ["IdTokenizer"]
