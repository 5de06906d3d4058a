"""Texts to begin with, of several kinds, written for this project, and their traces by the default model, shipped.

The traces are there so that the first picture waits for no model. They are used only for the very model that made
them: `python -m docs.make_examples` makes them anew, and a test compares them with a fresh capture.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from app.texts.prompts import Prompt
from hooks.trace import RoutingTrace

TRACES = Path(__file__).parents[1] / "assets" / "examples"
"""Folder of `<id>.trace.safetensors`, and of `model.json`: the files of the model that made them, by SHA-256."""
MODEL_FILES = ("config.json", "tokenizer.json", "model.safetensors")

# Ids stand in links: do not rename.
_TEXTS = {
    "fox": (
        "The fox and the lamp",
        "A story: do names and verbs go deeper than the little words between them?",
        "Once upon a time there was a little fox who lived at the edge of a dark forest. Every night she saw a light "
        "in the window of the old miller's house, and every night she wondered what it was.\n"
        '"I will go and ask," said the fox at last, and she went through the snow until she came to the door.',
    ),
    "sums": (
        "Sums and counting",
        "Arithmetic: compare the digits after each equals sign, which must be worked out, with those before it.",
        "7 + 5 = 12\n38 + 41 = 79\n6 * 9 = 54\nCount: 4, 8, 12, 16, 20, 24, 28, 32\n"
        "Anna has 9 apples. Anna gives 4 of them to Ben. Now Anna has 9-4=5 apples.",
    ),
    "code": (
        "A function",
        "Code: is a name harder where it first stands than where it is used again?",
        "def largest(numbers: list[int]) -> int:\n"
        '    """\n    >>> largest([3, 9, 2])\n    9\n    """\n'
        "    best = numbers[0]\n    for number in numbers[1:]:\n        if number > best:\n            best = number\n"
        "    return best",
    ),
    "talk": (
        "Two at the station",
        "Dialogue: look at the speakers' names and the colons, which come at fixed places, and at what is said.",
        "Mara: When does the last train leave?\nTom: At ten past nine, I think.\nMara: You think, or you know?\n"
        "Tom: I know that it was ten past nine yesterday.\nMara: And today is Sunday.\nTom: Oh. Then we should run.",
    ),
    "speech": (
        "A speech",
        "Formal prose: set phrases stand beside words of content. Which of them surprise the model, which go deep?",
        "Fellow citizens of the Senate and of the House of Representatives: the year that has passed has been one of "
        "peace with all nations. Our commerce has grown, our debts have been paid, and the people have reason to look "
        "to the future with confidence.",
    ),
    "echo": (
        "The same line thrice",
        "Repetition: the later lines can be copied. Surprisal should fall; does the number of loops fall too?",
        "The king rode out to the river and the people were glad.\n"
        "The king rode out to the river and the people were glad.\n"
        "The king rode out to the river and the people were glad.",
    ),
    "list": (
        "A shopping list",
        "A list: each line has the same frame. Compare the tokens of the frame with the words that change.",
        "To buy:\n- 2 loaves of bread\n- 6 eggs\n- 1 bag of apples\n- 3 bottles of milk\n- 1 piece of soap\n"
        "To do:\n- write to Anna\n- mend the gate\n- feed the hens",
    ),
    "rare": (
        "Rare and made-up words",
        "Rare words fall into many pieces: does the model go deeper at the pieces of a word than at whole words?",
        "The ichthyologist described a phosphorescent coelacanth. The glimmerworp snaffled seven quindled thrums. "
        "Antidisestablishmentarianism is a long word; cat is a short one.",
    ),
    "garden": (
        "Garden paths",
        "Sentences that mislead: look at the word that overturns the first reading (the, fell, cried, ran).",
        "The old man the boats. The horse raced past the barn fell. The girl told the story cried. "
        "While the man hunted the deer ran into the woods.",
    ),
    "tongues": (
        "One sentence, five languages",
        "The same sentence in English, German, French, Spanish and Latin: which does the model treat as unlike text?",
        "The night is long and the road is dark.\nDie Nacht ist lang und der Weg ist dunkel.\n"
        "La nuit est longue et la route est sombre.\nLa noche es larga y el camino es oscuro.\n"
        "Nox longa est et via obscura.",
    ),
    "signs": (
        "Signs and scripts",
        "Signs, scripts and emoji fall into single bytes, drawn as ⟨9F⟩: do the bytes of one sign share their experts?",
        "Tags <b>stay</b> text, $x$ and **stars** too.\tA tab, naïve café, 10 °C, مرحبا, 你好, 🙂 and 👩‍🚀.",
    ),
}

EXAMPLES: dict[str, Prompt] = {key: Prompt(name, text, example=key) for key, (name, _, text) in _TEXTS.items()}
LOOK_FOR: dict[str, str] = {key: look_for for key, (_, look_for, _) in _TEXTS.items()}
"""What to look for in each example: a question, since another model may answer it differently."""
DEFAULT_EXAMPLE = "fox"
CHECKED = [prompt.text for key, prompt in EXAMPLES.items() if key not in ("signs", "tongues")]
"""Texts of a health check. Scripts and languages that a small model has hardly seen say nothing about it."""
_KEY_OF = {text: key for key, (_, _, text) in _TEXTS.items()}


def shipped_trace(folder: Path, text: str) -> RoutingTrace | None:
    """The shipped trace of an example by the model in `folder`; None if it is no example or of another model."""
    path = TRACES / f"{_KEY_OF.get(text)}.trace.safetensors"
    if not path.is_file() or model_digests(folder) != _made_by():
        return None
    trace = RoutingTrace.load(path)
    return trace if (trace.meta["text"], trace.meta["model"]) == (text, folder.name) else None


@lru_cache(maxsize=1)
def _made_by() -> dict[str, str]:
    return json.loads((TRACES / "model.json").read_text(encoding="utf-8"))


def model_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that decide what a model does with a text, by name; empty if it lacks one of them.

    Only a model of the shipped one's size is read, so that asking costs nothing for large ones.
    """
    files = [folder / name for name in MODEL_FILES]
    if not all(file.is_file() for file in files) or files[-1].stat().st_size > 100 * 2**20:
        return {}
    stamps = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    return _digests(stamps)


@lru_cache(maxsize=8)
def _digests(stamps: tuple[tuple[str, int, int], ...]) -> dict[str, str]:
    """Read again only when a file was written since."""
    found = {}
    for path, _, _ in stamps:
        with open(path, "rb") as file:
            found[Path(path).name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
