"""The tokenizer of a model that came without one: a text is its token ids, as in "12 7 99"."""

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


class IdTokenizer(PreTrainedTokenizerFast):
    """Whole numbers 0..size-1 between white space are the tokens; each is shown as its number.

    Calling it raises ValueError with one sentence for a text that holds anything else.
    """

    def __init__(self, size: int):
        words = Tokenizer(models.WordLevel({str(i): i for i in range(size)}))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        super().__init__(tokenizer_object=words)
        self.size = size

    def __call__(self, text, *args, **kwargs):
        for each in [text] if isinstance(text, str) else text:
            self.check(each)
        return super().__call__(text, *args, **kwargs)

    def check(self, text: str) -> None:
        """Raise ValueError, naming the first word that is no token id."""
        for word in text.split():
            if not (word.isascii() and word.isdecimal() and len(word) <= 12 and str(int(word)) == word) or (
                int(word) >= self.size
            ):
                shown = word if len(word) <= 20 else word[:19] + "…"
                raise ValueError(
                    f"this model has no tokenizer: type token ids, whole numbers from 0 to {self.size - 1} with spaces "
                    f"between them, got {shown!r}"
                )


__all__ = ["IdTokenizer"]
