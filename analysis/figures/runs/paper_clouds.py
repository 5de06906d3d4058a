"""The paper's Fig. 5: the words at a value of λ as a cloud, an SVG whose words stay text.

A cloud shows frequent words in large letters, and little else: length, place and the reader's eye mislead. Therefore
`paper.WORDS` sets the same words beside it, sorted, with counts and lift.
"""

import base64
import html
from random import Random

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.runs.paper import level_colour
from analysis.figures.template import figure, sentence_figure
from analysis.palette import THEMES
from analysis.runs.atlas import Atlas
from analysis.view import DEFAULT_VIEW, View
from analysis.words.labels import how_many, short_label
from analysis.words.numbers import percent, significant

WIDTH, HEIGHT = 560, 320
"""Pixels."""
MOST_WORDS, WORD_LETTERS = 80, 24
SEED = 0
FONTS = "'Droid Sans Mono', 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"
"""Of one width each, as the font by which the words were placed."""
MISLEADS = (
    "Large words are frequent ones, at this λ as elsewhere; place and colour mean nothing. Beside the sorted "
    "words stand their counts, and the lift, which says what is typical."
)


def cloud_words(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """The rows of `paper_words` that a cloud at a value of λ shows."""
    return table[(table["gate"] == level) & ~table["blank"].astype(bool)].head(MOST_WORDS)


def cloud_svg(drawn: Atlas, level: float, *, theme: str = "light", seed: int = SEED) -> str | None:
    """The cloud at a value of λ as an SVG; None if no word has it. The same seed places every word the same.

    Raises ModuleNotFoundError without the package wordcloud, which the extra `clouds` brings.
    """
    words = cloud_words(drawn.table("paper_words"), level)
    if words.empty:
        return None
    from wordcloud import WordCloud
    from wordcloud.wordcloud import FONT_PATH

    shown = {_label(row.word): row for row in reversed(list(words.itertuples()))}  # of equal labels the more frequent
    placed = WordCloud(
        font_path=FONT_PATH, width=WIDTH, height=HEIGHT, max_words=MOST_WORDS, prefer_horizontal=1.0,
        relative_scaling=1.0, min_font_size=6, max_font_size=72, margin=5, random_state=Random(seed),
        color_func=lambda *_, **__: "black",
    ).generate_from_frequencies({label: row.count**0.5 for label, row in shown.items()})  # fmt: skip
    colour, lines = level_colour(level, theme), []
    for (label, _), size, (top, left), _, _ in placed.layout_:
        lines.append(_text(label, shown[label], size, top, left, FONT_PATH))
    title = html.escape(f"Words at λ {significant(level)}, larger where more frequent")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'role="img"><title>{title}</title>',
            f'<rect width="100%" height="100%" fill="{THEMES[theme]["bg"]}"/>',
            f'<g fill="{colour}" font-family="{html.escape(FONTS)}" xml:space="preserve">',
            *lines,
            "</g></svg>",
        ]
    )


def svg_source(svg: str) -> str:
    """A picture as the address of an image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode('utf-8')).decode()}"


def word_cloud(drawn: Atlas, view: View = DEFAULT_VIEW, *, level: float, seed: int = SEED) -> go.Figure:
    """The cloud as the image of a figure, for pictures in any format. Raises like `cloud_svg`."""
    svg = cloud_svg(drawn, level, theme=view.theme, seed=seed)
    if svg is None:
        return sentence_figure(view, f"No word has λ {significant(level)}.", HEIGHT)
    image = {
        "source": svg_source(svg),
        "xref": "paper", "yref": "paper", "x": 0, "y": 1, "sizex": 1, "sizey": 1, "layer": "below",
    }  # fmt: skip
    bare = {"visible": False, "range": [0, 1]}
    return figure(
        view,
        [],
        clickable=False,
        images=[image],
        height=HEIGHT,
        width=WIDTH,
        margin=dict.fromkeys("lrtb", 0),
        xaxis=bare,
        yaxis=bare,
    )


def cloud_caption(drawn: Atlas, level: float, svg: str | None, *, seed: int = SEED) -> str:
    """What the cloud shows, an `svg` of `cloud_svg`, what it leaves out, and how it misleads."""
    table, (out,) = drawn.table("paper_words"), drawn.table("paper_left_out").to_dict("records")
    words = svg.count("<text ") if svg else 0
    at = table[table["gate"] == level]
    of_level = int(at["of_level"].iloc[0]) if len(at) else 0
    cells = int(table["cells"].iloc[0]) if len(table) else 0
    layers = "all layers" if drawn.chosen.layer is None else f"layer {drawn.chosen.layer}"
    share = percent(of_level / cells, 1) if cells else "none"
    blank = out["blank"] / out["tokens"] if out["tokens"] else 0.0
    left = [f"{percent(blank, 1)} of the tokens, which are white space or single bytes"] if blank else []
    left += [f"{how_many(int(out['special']), 'token')} that the tokenizer added"] if out["special"] else []
    told = f" Left out are {', and '.join(left)}." if left else ""
    return (
        f"The {how_many(words, 'most frequent word')} among the {how_many(of_level, 'cell')} (a token in a layer, "
        f"{layers}) with λ {significant(level)}, {share} of all; the area of a word grows with its count. {MISLEADS}"
        f"{told} Seed {seed}."
    )


def _label(word: str) -> str:
    return short_label(word, WORD_LETTERS)


def _text(label: str, row, size: int, top: int, left: int, font_path: str) -> str:
    """A word as a text node, as wide as it was placed whatever font the reader's machine has."""
    from PIL import ImageFont

    font = ImageFont.truetype(font_path, size)
    (wide, _), (shift, lift) = font.font.getsize(label)
    x, y = left - shift, top + font.getmetrics()[0] - lift
    told = html.escape(f"{row.count:,} of {row.of_word:,} cells, lift {significant(row.lift)}")
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" textLength="{max(wide, 1)}" lengthAdjust="spacingAndGlyphs">'
        f"<title>{told}</title>{html.escape(label)}</text>"
    )


__all__ = [
    "HEIGHT",
    "MISLEADS",
    "SEED",
    "WIDTH",
    "cloud_caption",
    "cloud_svg",
    "cloud_words",
    "svg_source",
    "word_cloud",
]
