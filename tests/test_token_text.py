"""Display strings of tokens lose nothing and hide nothing."""

import pytest

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
    ],
)
def test_white_space_controls_and_lone_bytes_are_made_visible(raw, shown):
    assert display_token(raw) == shown


@pytest.mark.parametrize("text", HOSTILE)
def test_display_string_can_be_turned_back_into_the_bytes(text):
    assert token_bytes(display_token(text.encode())) == text.encode()


@pytest.mark.parametrize("byte", range(256))
def test_every_single_byte_has_a_display_string_of_its_own(byte):
    assert token_bytes(display_token(bytes([byte]))) == bytes([byte])


def test_tokens_of_a_text_join_to_the_text():
    tokenizer, text = byte_tokenizer(), "".join(HOSTILE)
    tokens = display_tokens(tokenizer, tokenizer(text)["input_ids"])
    assert b"".join(map(token_bytes, tokens)).decode() == text


def test_special_token_is_shown_by_its_name():
    assert display_tokens(byte_tokenizer(), [256]) == ["<|endoftext|>"]
