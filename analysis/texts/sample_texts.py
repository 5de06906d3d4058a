"""The texts that a study reads: many short ones of several kinds, written for this project.

Intervals are over texts, so many short texts say more than a few long ones.
"""

EXAMPLE_TEXTS: dict[str, str] = {
    "fox": (
        "Once upon a time there was a little fox who lived at the edge of a dark forest. Every night she saw a light "
        "in the window of the old miller's house, and every night she wondered what it was.\n"
        '"I will go and ask," said the fox at last, and she went through the snow until she came to the door.'
    ),
    "sums": (
        "7 + 5 = 12\n38 + 41 = 79\n6 * 9 = 54\nCount: 4, 8, 12, 16, 20, 24, 28, 32\n"
        "Anna has 9 apples. Anna gives 4 of them to Ben. Now Anna has 9-4=5 apples."
    ),
    "code": (
        "def largest(numbers: list[int]) -> int:\n"
        '    """\n    >>> largest([3, 9, 2])\n    9\n    """\n'
        "    best = numbers[0]\n    for number in numbers[1:]:\n        if number > best:\n            best = number\n"
        "    return best"
    ),
    "talk": (
        "Mara: When does the last train leave?\nTom: At ten past nine, I think.\nMara: You think, or you know?\n"
        "Tom: I know that it was ten past nine yesterday.\nMara: And today is Sunday.\nTom: Oh. Then we should run."
    ),
    "speech": (
        "Fellow citizens of the Senate and of the House of Representatives: the year that has passed has been one of "
        "peace with all nations. Our commerce has grown, our debts have been paid, and the people have reason to look "
        "to the future with confidence."
    ),
    "echo": (
        "The king rode out to the river and the people were glad.\n"
        "The king rode out to the river and the people were glad.\n"
        "The king rode out to the river and the people were glad."
    ),
    "list": (
        "To buy:\n- 2 loaves of bread\n- 6 eggs\n- 1 bag of apples\n- 3 bottles of milk\n- 1 piece of soap\n"
        "To do:\n- write to Anna\n- mend the gate\n- feed the hens"
    ),
    "rare": (
        "The ichthyologist described a phosphorescent coelacanth. The glimmerworp snaffled seven quindled thrums. "
        "Antidisestablishmentarianism is a long word; cat is a short one."
    ),
    "garden": (
        "The old man the boats. The horse raced past the barn fell. The girl told the story cried. "
        "While the man hunted the deer ran into the woods."
    ),
    "tongues": (
        "The night is long and the road is dark.\nDie Nacht ist lang und der Weg ist dunkel.\n"
        "La nuit est longue et la route est sombre.\nLa noche es larga y el camino es oscuro.\n"
        "Nox longa est et via obscura."
    ),
    "signs": ("Tags <b>stay</b> text, $x$ and **stars** too.\tA tab, naïve café, 10 °C, مرحبا, 你好, 🙂 and 👩‍🚀."),
}
"""Id -> text of the examples that the explorer offers to begin with. Ids stand in links: do not rename."""
_STORIES = (
    "Long ago a king had three daughters, and the youngest was so quiet that nobody noticed when she left the castle. "
    "She walked until her shoes were worn through, and at the edge of the sea she met an old woman mending a net.",
    '"You are late," said the captain, and he looked at the boy from under his wet hat. "The tide will not wait for '
    'you, and neither will I." The boy said nothing, for he had run all the way from the village.',
    "The house stood alone on the hill. In winter the wind came through every door, and the two brothers slept beside "
    "the stove with the dog between them. In summer they slept in the hay and counted the stars.",
    "A crow found a piece of cheese and flew with it into a tall tree. A fox saw her there and called up to her: "
    '"How beautiful you are! If your voice is as fine as your feathers, you must be the queen of all birds."',
    "Mrs. Hall put the letter down and did not speak for some time. At last she rose, went to the window, and drew the "
    "curtain aside. The carriage was still there, and the horses were still wet with rain.",
    "The little girl gave her bread to the bird, and her cap to the child, and her coat to the old man. Then she was "
    "cold and hungry, and she sat down in the snow and laughed, because the bird had begun to sing.",
)
_SPEECHES = (
    "We meet today under a peaceful sky. The harvests have been good, the treasury is sound, and our ships sail to "
    "every port. Yet it is the duty of this government to look beyond the present year and to prepare for the next.",
    "My friends, the question before us is not whether the law should be changed, but how. I have asked the Congress "
    "to act, and I ask you, the citizens of this nation, to give your representatives your counsel.",
    "No people can be free that is not also just. Let us therefore keep our treaties, pay our debts, teach our "
    "children, and give to every man and woman the protection of equal laws.",
    "The commission has reported that the roads of the western states are in need of repair. I recommend that the sum "
    "of two million dollars be set aside for this purpose, and that the work begin in the spring.",
)
_PLAYS = (
    "KING.\nWho comes so late into our sleeping camp?\n\nMESSENGER.\nMy lord, a friend, and weary from the road.\n"
    "I bring thee word of armies by the sea,\nAnd of thy brother's death.",
    "FIRST LORD.\nHow does the queen?\n\nSECOND LORD.\nShe sleeps, my lord, and yet she speaks in sleep,\n"
    "And calls upon a name we do not know.\n\nFIRST LORD.\nThen let us watch with her until the day.",
    "SERVANT.\nSir, there is a man at the gate that will not be answered.\n\nTOBY.\nWhat manner of man?\n\n"
    "SERVANT.\nA very wet one, sir, and he says that he is thy son.",
)
_CODE = (
    "def mean(values: list[float]) -> float:\n    if not values:\n"
    '        raise ValueError("values must not be empty")\n    return sum(values) / len(values)\n',
    "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n"
    "        self.items.append(item)\n\n    def pop(self):\n        return self.items.pop()\n",
    'fn main() {\n    let numbers = vec![1, 2, 3];\n    for number in &numbers {\n        println!("{number}");\n'
    "    }\n}\n",
    "for i in range(10):\n    for j in range(i):\n        total += matrix[i][j] * vector[j]\n    result.append(total)\n"
    "print(result)\n",
)
_NUMBERS = (
    "12 + 7 = 19\n45 - 8 = 37\n9 * 9 = 81\n64 / 8 = 8\n100 - 1 = 99\n33 + 44 = 77\n5 * 12 = 60\n90 / 9 = 10\n",
    "Count: 3, 6, 9, 12, 15, 18, 21, 24, 27, 30\nCount: 50, 45, 40, 35, 30, 25, 20, 15, 10, 5\n",
    "Tom has 6 pears. He buys 5 more and gives 3 to Lisa. Now Tom has 6+5-3=8 pears.\n"
    "Mia has 12 coins. She loses 4 of them. Now Mia has 12-4=8 coins.",
)

SAMPLE_TEXTS: tuple[str, ...] = (
    *EXAMPLE_TEXTS.values(), *_STORIES, *_SPEECHES, *_PLAYS, *_CODE, *_NUMBERS,
)  # fmt: skip
_KIND_OF_EXAMPLE = {
    **{"fox": "story", "echo": "story", "garden": "story", "talk": "dialogue", "speech": "speech", "sums": "numbers"},
    **{"code": "code", "list": "list", "rare": "words", "tongues": "languages", "signs": "symbols"},
}
KINDS: dict[str, str] = {
    **{EXAMPLE_TEXTS[key]: kind for key, kind in _KIND_OF_EXAMPLE.items()},
    **dict.fromkeys(_STORIES, "story"),
    **dict.fromkeys(_SPEECHES, "speech"),
    **dict.fromkeys(_PLAYS, "play"),
    **dict.fromkeys(_CODE, "code"),
    **dict.fromkeys(_NUMBERS, "numbers"),
}
"""Each sample text -> its kind."""
