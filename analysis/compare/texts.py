"""Pairs of short texts, written for this project: minimal pairs to begin with, and paraphrases as their null."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.compare.pair import Flips, TracePair, flips
from hooks.trace import RoutingTrace


@dataclass(frozen=True)
class MinimalPair:
    """Two texts that differ in one thing, early enough for others to follow it."""

    name: str
    a: str
    b: str


MINIMAL_PAIRS: dict[str, MinimalPair] = {
    "plural": MinimalPair(
        "Singular or plural",
        "The man near the old gate was looking at the cat, and the boy went home to tell his mother.",
        "The men near the old gate were looking at the cat, and the boy went home to tell his mother.",
    ),
    "names": MinimalPair(
        "Two names swapped",
        "Anna gave Ben the red ball, and then Ben ran to the house because Anna had called him.",
        "Ben gave Anna the red ball, and then Ben ran to the house because Anna had called him.",
    ),
    "negation": MinimalPair(
        "Negation",
        "The little girl was happy when she saw the snow, so she went out and played with her friends.",
        "The little girl was not happy when she saw the snow, so she went out and played with her friends.",
    ),
    "number": MinimalPair(
        "Another number",
        "Tom has 3 apples. He gives one apple to Mia. Now Tom has fewer apples than before.",
        "Tom has 8 apples. He gives one apple to Mia. Now Tom has fewer apples than before.",
    ),
    "time": MinimalPair(
        "Present or past",
        "Every morning the farmer walks to the river and looks for the fish under the bridge.",
        "Every morning the farmer walked to the river and looked for the fish under the bridge.",
    ),
    "gender": MinimalPair(
        "He or she",
        "When the doctor came home, he sat down by the fire, and the children asked for a story.",
        "When the doctor came home, she sat down by the fire, and the children asked for a story.",
    ),
}
"""Id -> pair. An address names a pair by its id, so ids stay."""

PARAPHRASES: tuple[tuple[str, str], ...] = (
    (
        "The small boy was glad when he saw the snow, so he went out and played with his friends.",
        "The little boy was glad when he saw the snow, so he went out and played with his friends.",
    ),
    (
        "A big dog ran over the field, and the girl called her father to come and help.",
        "A large dog ran over the field, and the girl called her father to come and help.",
    ),
    (
        "The old man shut the door and sat down by the fire to wait for his son.",
        "The old man closed the door and sat down by the fire to wait for his son.",
    ),
    (
        "Mia began to read the book, and after some time she knew the whole story.",
        "Mia started to read the book, and after some time she knew the whole story.",
    ),
    (
        "The children hurried home because the rain was falling and the night was near.",
        "The kids hurried home because the rain was falling and the night was near.",
    ),
    (
        "Quickly the fox ran into the forest, where nobody could see it any more.",
        "Fast the fox ran into the forest, where nobody could see it any more.",
    ),
    (
        "The ship reached the harbour in the evening, and the people were waiting on the shore.",
        "The boat reached the harbour in the evening, and the people were waiting on the shore.",
    ),
    (
        "He answered that the road was long, but they should go before the sun was down.",
        "He replied that the road was long, but they should go before the sun was down.",
    ),
    (
        "The queen was very angry, and she told the men to leave the house at once.",
        "The queen was really angry, and she told the men to leave the house at once.",
    ),
    (
        "Perhaps the key is under the stone, so look there first and then come back.",
        "Maybe the key is under the stone, so look there first and then come back.",
    ),
    (
        "Sara wanted to buy a gift for her friend, and she took all the money with her.",
        "Sara wanted to buy a present for her friend, and she took all the money with her.",
    ),
    (
        "The road beside the river was wet, and the horse went slowly up the hill.",
        "The path beside the river was wet, and the horse went slowly up the hill.",
    ),
)
"""Pairs of texts that say nearly the same: one word is exchanged for another of the same meaning."""


def paraphrase_texts() -> list[str]:
    """The texts of PARAPHRASES in a row, for one capture of all."""
    return [text for pair in PARAPHRASES for text in pair]


def paraphrase_flips(traces: Sequence[RoutingTrace]) -> tuple[Flips, ...]:
    """Flips of every pair of PARAPHRASES, from the traces of `paraphrase_texts` by one model; without those in which no
    cell is compared."""
    found = (flips(TracePair(a, b)) for a, b in zip(traces[::2], traces[1::2], strict=True))
    return tuple(each for each in found if each.cells)


__all__ = ["MINIMAL_PAIRS", "PARAPHRASES", "MinimalPair", "paraphrase_flips", "paraphrase_texts"]
