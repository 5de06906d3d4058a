"""Chat templates: what stands round a message is what transformers puts there, and a bad template is refused."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest

from app.cli import main
from hooks import RoutingTrace, capture
from sample_models import chat_template, load_model
from sample_models.chat_template import read_chat_template
from sample_models.registry import has_chat_template
from tests.model_folders import TEXT
from tests.models import byte_tokenizer, small_loaded
from tests.strange_files import refusal

CHATML = (
    "{% for message in messages %}{% if loop.first and message.role != 'system' %}{{ '<|im_start|>system\nHelp.\n' }}"
    "{% endif %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "llama 2": "{{ eos_token }}[INST] {{ messages[0]['content'] | trim }} [/INST]",
    "macros and marks": (
        "{%- macro one(m) %}<{{ m.role }}>{{ m.content }}{% endmacro %}\n{%- for m in messages %}\n    {{- one(m) }}\n"
        "{%- endfor %}{% if add_generation_prompt %}{% generation %}<bot>{% endgeneration %}{% endif %}"
    ),
}
REFUSED = {
    "loops for ever": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "too much time",
    ),
    "fills the memory": ("{{ 'a' * 10**10 }}", ""),
    "writes too much": ("{{ 'a' * 9000 }}{{ messages[0].content }}", "more than 8,000 characters"),
    "reads Python": ("{{ messages.__class__.__mro__[1].__subclasses__() }}{{ messages[0].content }}", "unsafe"),
    "is no template": ("{% for %}", "Expected"),
    "drops the message": ("hello", "a message once and as it is, got 0 times"),
    "changes the message": ("{{ messages[0].content | upper }}", "got 0 times"),
    "adds nothing": ("{{ messages[0].content }}", "writes nothing round a message"),
    "refuses": ("{{ raise_exception('only systems') }}", "only systems"),
}


def with_template(template):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_puts_round_a_text_what_transformers_puts_there(name):
    tokenizer = with_template(TEMPLATES[name])
    found = read_chat_template(tokenizer, "small")
    message = [{"role": "user", "content": TEXT.strip()}]
    expected = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    assert found.as_message(TEXT.strip()) == expected != TEXT.strip()
    assert found.as_message(expected) == expected and found.is_message(expected) and not found.is_message(TEXT)


@pytest.mark.parametrize("case", REFUSED)
def test_template_that_cannot_be_used_is_refused_in_a_sentence(case):
    template, why = REFUSED[case]
    said = refusal(read_chat_template, with_template(template), "small")
    assert said.startswith("the chat template of small cannot be used (") and why in said
    assert said.endswith("): trace the text without it")


def test_template_is_stopped_by_the_clock(monkeypatch):
    monkeypatch.setattr(chat_template, "CLOCK_S", 0.01)
    assert "takes too long" in refusal(read_chat_template, with_template(CHATML), "small")


def test_trace_of_a_message_holds_the_whole_template_and_says_so():
    loaded = replace(small_loaded(), tokenizer=with_template(CHATML))
    trace = capture(loaded, "A fox.", chat=True)
    message = [{"role": "user", "content": "A fox."}]
    ids = loaded.tokenizer.apply_chat_template(message, add_generation_prompt=True)["input_ids"]
    assert trace.token_ids.tolist() == ids and trace.meta["chat"] is True
    assert trace.meta["text"] == loaded.chat.as_message("A fox.")
    again = capture(loaded, trace.meta["text"])
    assert again.token_ids.tolist() == ids and again.meta["chat"] is True
    assert "chat" not in capture(loaded, "A fox.").meta
    plain = small_loaded()
    assert (
        refusal(partial(capture, plain, "A fox.", chat=True)) == "small has no chat template: trace the text as it is"
    )
    broken = replace(plain, tokenizer=with_template("{% for %}"))
    assert "chat" not in capture(broken, "A fox.").meta, "a text that asks for no template needs none"


@pytest.fixture(scope="module")
def chat_folder(saved_model, tmp_path_factory):
    folder = shutil.copytree(saved_model, tmp_path_factory.mktemp("chat") / "talker")
    (folder / "chat_template.jinja").write_text("<user>{{ messages[0].content }}<bot>")
    return folder


def test_chat_on_the_command_line(chat_folder, saved_model, tmp_path, capsys):
    assert main(["trace", "A fox.", "--chat", "--model", str(chat_folder), "--out", str(tmp_path)]) == 0
    trace = RoutingTrace.load(tmp_path / "0000.trace.safetensors")
    assert trace.meta["text"] == "<user>A fox.<bot>" and trace.meta["chat"] is True
    plain = ["trace", "A fox.", "--chat", "--model", str(saved_model), "--out", str(tmp_path), "--overwrite"]
    assert main(plain) == 2
    assert "tiny has no chat template" in capsys.readouterr().err
    assert (tmp_path / "0000.trace.safetensors").exists(), "what cannot be done removes nothing"


def test_template_of_a_folder_is_found_without_loading_it_and_bounded(chat_folder, saved_model, tmp_path):
    assert has_chat_template(chat_folder) and not has_chat_template(saved_model)
    folder = shutil.copytree(saved_model, tmp_path / "named")
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"chat_template": "{{ messages[0].content }}"}))
    assert has_chat_template(folder)
    settings.write_text("[")
    assert not has_chat_template(folder)
    (chat_folder.parent / "long").mkdir()
    folder = shutil.copytree(chat_folder, chat_folder.parent / "long" / "talker")
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.jinja").symlink_to("/dev/zero")
    assert "chat_template.jinja must be a file of at most 1 MB" in refusal(load_model, folder)
