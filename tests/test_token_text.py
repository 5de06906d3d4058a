"""Display strings of tokens lose nothing and hide nothing."""

import re
import unicodedata

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from hooks.token_text import display_token, display_tokens, token_bytes
from tests.models import byte_tokenizer

HOSTILE = ["<script>", "<b>", "$x$", "**", "🙂", "مرحبا", "你好", " a\n\tb", "␣↵⇥⟨⟩", "\r\x00\u200b", "é"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b" the", "␣the"),
        (b"\n\n", "↵↵"),
        (b"\t", "⇥"),
        ("é".encode(), "é"),
        (b"\xe2", "⟨E2⟩"),
        (b"\x9f\x98", "⟨9F 98⟩"),
        (b"\r", "⟨0D⟩"),
        ("␣".encode(), "⟨E2 90 A3⟩"),
        (b"<b>", "<b>"),
        ("e\u0301".encode(), "e\u0301"),
        ("\u0301".encode(), "⟨CC 81⟩"),
        ("\ufe0f".encode(), "⟨EF B8 8F⟩"),
        ("❤\ufe0f".encode(), "❤\ufe0f"),
        ("a\u2800b".encode(), "a⟨E2 A0 80⟩b"),
        ("\u3164".encode(), "⟨E3 85 A4⟩"),
        (" \ufe0f".encode(), "␣⟨EF B8 8F⟩"),
        ("\u0300\u0301".encode(), "⟨CC 80⟩⟨CC 81⟩"),
    ],
)
def test_white_space_controls_and_lone_bytes_are_made_visible(raw, shown):
    assert display_token(raw) == shown


def test_no_character_is_shown_as_itself_that_nobody_would_see():
    unseen = re.compile("HANGUL .*FILLER|PATTERN BLANK|VOWEL INHERENT|NULL NOTEHEAD")
    for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200)):
        char = chr(code)
        if unicodedata.category(char) in ("Mn", "Me", "Cc", "Cf", "Zs", "Zl", "Zp") or unseen.search(
            unicodedata.name(char, "")
        ):
            assert char not in (shown := display_token(char.encode())) and token_bytes(shown) == char.encode(), hex(
                code
            )


@pytest.mark.parametrize("text", HOSTILE)
def test_display_string_can_be_turned_back_into_the_bytes(text):
    assert token_bytes(display_token(text.encode())) == text.encode()


def test_every_single_byte_has_a_display_string_of_its_own():
    every = [bytes([byte]) for byte in range(256)]
    assert [token_bytes(display_token(byte)) for byte in every] == every


def test_tokens_of_a_text_join_to_the_text():
    tokenizer, text = byte_tokenizer(), "".join(HOSTILE)
    tokens = display_tokens(tokenizer, tokenizer(text)["input_ids"])
    assert b"".join(map(token_bytes, tokens)).decode() == text


def test_special_token_is_shown_by_its_name():
    assert display_tokens(byte_tokenizer(), [256]) == ["<|endoftext|>"]


def sentencepiece_tokenizer():
    """As Llama 2's: ▁ for a space and before the text, and a piece for each byte that no other piece spells."""
    words = ["<unk>", "▁", "▁Once", "▁upon", "fox", "▁fox", "▁a", ".", "▁你"]
    vocabulary = {piece: i for i, piece in enumerate([*words, *(f"<0x{byte:02X}>" for byte in range(256))])}
    letters = {letter: len(vocabulary) + i for i, letter in enumerate("Oncepufxa你")}
    merges = [("O", "n"), ("On", "c"), ("Onc", "e"), ("▁", "Once"), ("f", "o"), ("fo", "x"), ("▁", "fox")]
    made = {left + right: None for left, right in merges} | {"o": None}
    vocabulary |= letters
    vocabulary |= {piece: len(vocabulary) + i for i, piece in enumerate(p for p in made if p not in vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_sentencepiece_tokens_keep_their_spaces_and_bytes():
    tokenizer, text = sentencepiece_tokenizer(), "Once fox fox 🙂"
    ids = tokenizer(text)["input_ids"]
    tokens = display_tokens(tokenizer, ids)
    assert tokens[:3] == ["␣Once", "␣fox", "␣fox"]
    assert tokens[-4:] == ["⟨F0⟩", "⟨9F⟩", "⟨99⟩", "⟨82⟩"]
    assert b"".join(map(token_bytes, tokens)).decode() == " " + text  # SentencePiece puts a space before a text
    vocabulary = display_tokens(tokenizer, tokenizer.convert_tokens_to_ids(["fox", "▁fox", "▁"]))
    assert vocabulary == ["fox", "␣fox", "␣"]


def test_byte_level_decoder_within_a_sequence_gives_exact_bytes():
    tokenizer, text = byte_tokenizer(), "".join(HOSTILE)
    tokenizer.backend_tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Fuse()])
    tokens = display_tokens(tokenizer, tokenizer(text)["input_ids"])
    assert b"".join(map(token_bytes, tokens)).decode() == text


def test_piece_outside_the_byte_alphabet_stands_for_its_own_text():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "▁你": 1}, unk_token="a"))
    tokenizer.decoder = decoders.ByteLevel()
    assert display_tokens(PreTrainedTokenizerFast(tokenizer_object=tokenizer), [0, 1]) == ["a", "▁你"]
