"""Texts to begin with: short, of several kinds, written for this project. Their ids stand in links: do not rename."""

from app.prompts import Prompt

_TEXTS = {
    "fox": (
        "The fox and the lamp",
        "Once upon a time there was a little fox who lived at the edge of a dark forest. Every night she saw a light "
        "in the window of the old miller's house, and every night she wondered what it was.\n"
        '"I will go and ask," said the fox at last, and she went through the snow until she came to the door.',
    ),
    "sums": (
        "Sums and counting",
        "7 + 5 = 12\n38 + 41 = 79\n6 * 9 = 54\nCount: 4, 8, 12, 16, 20, 24, 28, 32\n"
        "Anna has 9 apples. Anna gives 4 of them to Ben. Now Anna has 9-4=5 apples.",
    ),
    "code": (
        "A function",
        "def largest(numbers: list[int]) -> int:\n"
        '    """\n    >>> largest([3, 9, 2])\n    9\n    """\n'
        "    best = numbers[0]\n    for number in numbers[1:]:\n        if number > best:\n            best = number\n"
        "    return best",
    ),
    "speech": (
        "A speech",
        "Fellow citizens of the Senate and of the House of Representatives: the year that has passed has been one of "
        "peace with all nations. Our commerce has grown, our debts have been paid, and the people have reason to look "
        "to the future with confidence.",
    ),
    "echo": (
        "The same line thrice",
        "The king rode out to the river and the people were glad.\n"
        "The king rode out to the river and the people were glad.\n"
        "The king rode out to the river and the people were glad.",
    ),
    "garden": (
        "Garden paths",
        "The old man the boats. The horse raced past the barn fell. The girl told the story cried. "
        "While the man hunted the deer ran into the woods.",
    ),
    "signs": (
        "Signs and scripts",
        "Tags <b>stay</b> text, $x$ and **stars** too.\tA tab, naïve café, 10 °C, مرحبا, 你好, 🙂 and 👩‍🚀.",
    ),
}

EXAMPLES: dict[str, Prompt] = {key: Prompt(name, text, example=key) for key, (name, text) in _TEXTS.items()}
DEFAULT_EXAMPLE = "fox"
