"""The program that renders one chat template and ends: `python -m sample_models.chat_trial`.

A template is a program in jinja's language that comes with a model. The sandbox keeps it from files and from Python's
internals, but not from looping for ever or from filling the memory. So it is rendered here, under limits of both. It
gets JSON on stdin ({"template", "tokens"}) and answers in JSON: {"before", "after"} or {"refused": why}. It imports
jinja alone, so that it takes a fraction of a second.
"""

import json
import sys
from datetime import datetime
from typing import Any

from sample_models.bounded import limit_self

MEMORY_MB = 500
CPU_S = 3
MAX_CHARACTERS = 8_000
"""Of what a template may put round a message."""
MESSAGE = "\ue000message\ue000"
"""Stands for the text: a template must write it once, as it is."""


def main() -> None:
    """Render the template on stdin round a user's message, and answer on stdout."""
    request = json.load(sys.stdin)
    limit_self(MEMORY_MB, CPU_S)
    try:
        before, after = frame(request["template"], request["tokens"])
    except BaseException as error:  # whatever it raises is about this template
        print(json.dumps({"refused": (str(error) or type(error).__name__)[:300]}))
    else:
        print(json.dumps({"before": before, "after": after}))


def frame(template: str, tokens: dict[str, str]) -> tuple[str, str]:
    """What a template writes before and after a user's message, up to where the model's answer would begin."""
    rendered, size = [], 0
    message = {"role": "user", "content": MESSAGE}
    for part in environment().from_string(template).generate(messages=[message], add_generation_prompt=True, **tokens):
        rendered.append(part)
        size += len(part)
        if size > MAX_CHARACTERS:
            raise ValueError(f"it writes more than {MAX_CHARACTERS:,} characters round a message")
    parts = "".join(rendered).split(MESSAGE)
    if len(parts) != 2:
        raise ValueError(f"it must write a message once and as it is, got {len(parts) - 1} times")
    if not any(parts):
        raise ValueError("it writes nothing round a message")
    return parts[0], parts[1]


def environment():
    """The sandbox, with what transformers gives to chat templates."""
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks answers, of which there are none here."""

        tags = {"generation"}

        def parse(self, parser):
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    def to_json(value: Any, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    sandbox.filters["tojson"] = to_json
    sandbox.globals["raise_exception"] = refuse
    sandbox.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return sandbox


if __name__ == "__main__":
    main()
