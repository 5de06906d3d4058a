"""What people read is plain English: whole questions, and no words that had to be guessed."""

import ast
import re
from pathlib import Path

import pytest

from app.pages import PAGES

ROOT = Path(__file__).parents[1]
GUESSED = (
    r"\bforetell|\bforetold|\bleaned to\b|\bcomes? about\b|\bcame about\b",
    r"[Nn]othing is looked for|not there to be read|no write removed yet|stands for it\b",
    r"\bis no (file|folder|whole|name|readable|packed)\b",
    r"\bDrawn once\b|\bBeing drawn\b|\bNot drawn yet\b",
    r"\bthe text button above takes\b|\bRead them\b",
    r"\bdecided? otherwise\b|\b(took|takes?|use|have) other (loops|experts)\b(?! than)|\b(is|were) another\?",
    r"\bis no finding\b|\bno proof\b|\bput out\b|\bdoes by itself\b|\banother wording\b",
)


def words(path: Path) -> str:
    """The strings of a Python file but those that document it, or the whole of another file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    tree = ast.parse(text)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return "\n".join(node.value for node in nodes if id(node) not in docs)


@pytest.mark.parametrize("guessed", GUESSED)
def test_nobody_has_to_guess_what_a_sentence_means(guessed):
    paths = [path for room in ("analysis", "app", "sample_models") for path in (ROOT / room).rglob("*.py")]
    paths += [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "sample_models").glob("*/*/README.md")]
    assert len(paths) > 100
    found = {path.relative_to(ROOT).as_posix(): re.search(guessed, words(path)) for path in paths}
    assert not {path: hit.group() for path, hit in found.items() if hit}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_and_its_folds_ask_whole_questions(page):
    asked = [page.question, *(fold.question for fold in page.folds)]
    assert [
        text for text in asked if not re.fullmatch(r"(How|In which|Which|What|Where|Do|Does|Did|Is|Would)\b.*\?", text)
    ] == []
