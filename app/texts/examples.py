"""Example texts of several kinds, written for this project, and traces of them that wait for the first visitor.

Traces by the default model are shipped, those by a model that was built on this machine lie in its folder, so that the
first page waits for no model. They are used only with exactly the model that made them. `python -m docs.make_examples`
writes the shipped ones again, and a test compares them with a fresh capture.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from analysis.compare.texts import MINIMAL_PAIRS
from analysis.texts.sample_texts import EXAMPLE_TEXTS
from app.texts.prompts import Prompt
from hooks.files import whole_file
from hooks.trace import RoutingTrace

TRACES = Path(__file__).parents[1] / "assets" / "examples"
"""Folder of `<id>.trace.safetensors` and of `model.json`, the SHA-256 of each file of the model that made them."""
MODEL_FILES = ("config.json", "tokenizer.json", "model.safetensors")

# Id -> name, and what to look for. The texts themselves are in `EXAMPLE_TEXTS`.
_WORDS = {
    "fox": (
        "The fox and the lamp",
        "A story: do names and verbs go deeper than the little words between them?",
    ),
    "sums": (
        "Sums and counting",
        "Arithmetic: compare the digits after each equals sign, which must be worked out, with those before it.",
    ),
    "code": (
        "A function",
        "Code: does a name get more depth where it first appears than where it is used again?",
    ),
    "talk": (
        "Two at the station",
        "Dialogue: compare the speakers' names and the colons, which come at fixed places, with what is said.",
    ),
    "speech": (
        "A speech",
        "Formal prose: set phrases stand beside content words. Which of them surprise the model, and which go deep?",
    ),
    "echo": (
        "The same line three times",
        "Repetition: the later lines can be copied. Surprisal should fall; does the number of loops fall too?",
    ),
    "list": (
        "A shopping list",
        "A list: every line has the same form. Compare the tokens that repeat with the words that change.",
    ),
    "rare": (
        "Rare and made-up words",
        "Rare words are split into many tokens: does the model go deeper there than at words of one token?",
    ),
    "garden": (
        "Garden paths",
        "Sentences that mislead: look at the word that overturns the first reading (the, fell, cried, ran).",
    ),
    "tongues": (
        "One sentence, five languages",
        "The same sentence in English, German, French, Spanish and Latin: which of them does the model "
        "treat differently?",
    ),
    "signs": (
        "Symbols and scripts",
        "Symbols, scripts and emoji are split into single bytes, shown as ⟨9F⟩: do the bytes of one symbol "
        "share their experts?",
    ),
}

EXAMPLES: dict[str, Prompt] = {key: Prompt(name, EXAMPLE_TEXTS[key], example=key) for key, (name, _) in _WORDS.items()}
LOOK_FOR: dict[str, str] = {key: look_for for key, (_, look_for) in _WORDS.items()}
"""Id -> what to look for in the example: a question, since each model may answer it differently."""
DEFAULT_EXAMPLE = "fox"
PAIRS: dict[str, Prompt] = {
    key: Prompt(f"{pair.name}, A", pair.a, example=f"pair-{key}") for key, pair in MINIMAL_PAIRS.items()
}
"""Id of a minimal pair -> its first text."""
NAMED = EXAMPLES | {prompt.example: prompt for prompt in PAIRS.values()}
"""All texts that an address can name, by their ids there."""
CHECKED = [prompt.text for key, prompt in EXAMPLES.items() if key not in ("signs", "tongues")]
"""Texts of the health check: not those in scripts and languages that a small model has hardly seen."""
_KEY_OF = {text: key for key, text in EXAMPLE_TEXTS.items()}


def shipped_trace(folder: Path, text: str) -> RoutingTrace | None:
    """The trace of a text that waits for the model in `folder`; None if it is no example or the model is another."""
    traces = _of_model(folder) if has_traces(folder) else TRACES
    path = traces / f"{_KEY_OF.get(text)}.trace.safetensors"
    if not path.is_file() or model_digests(folder) != _made_by(traces):
        return None
    trace = RoutingTrace.load(path)
    return trace if (trace.meta["text"], trace.meta["model"]) == (text, folder.name) else None


def has_traces(folder: Path) -> bool:
    """Whether the traces of all examples lie in a model's folder."""
    return (_of_model(folder) / "model.json").is_file()


def save_traces(traces: dict[str, RoutingTrace], model: Path, folder: Path | None = None) -> None:
    """Write id -> trace by the model in the folder `model` into `folder`, by default one in the model's own.

    What says whose they are is written last, so that what was interrupted does not count.
    """
    folder = folder or _of_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    for key, trace in traces.items():
        trace.save(folder / f"{key}.trace.safetensors")
    with whole_file(folder / "model.json") as part:
        part.write_text(json.dumps(model_digests(model), indent=2) + "\n", encoding="utf-8")


def _of_model(folder: Path) -> Path:
    return folder / "examples"


@lru_cache(maxsize=8)
def _made_by(traces: Path) -> dict[str, str]:
    return json.loads((traces / "model.json").read_text(encoding="utf-8"))


def model_digests(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of the files that determine a model's traces; empty if one of them is missing.

    Also empty for weights over 400 MB, since hashing those would take long and no model of ours is so large.
    """
    files = [folder / name for name in MODEL_FILES]
    if not all(file.is_file() for file in files) or files[-1].stat().st_size > 400 * 2**20:
        return {}
    stamps = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return _digests(stamps)


@lru_cache(maxsize=8)
def _digests(stamps: tuple[tuple[str, int, int], ...]) -> dict[str, str]:
    """The digests of files given as (path, modification time in ns, size); cached until a file changes."""
    digests = {}
    for path, _, _ in stamps:
        with open(path, "rb") as file:
            digests[Path(path).name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
