"""Colours. Every hue has one meaning, on all pages and in both themes.

  blue   = width path        orange = depth path; loops are steps of orange
  plum   = difficulty        grey   = what the language model and the router say (surprisal, probability)
  green / magenta = more / less       eight colours + a printed number = experts
The selection is drawn in ink, never in a hue. Contrast ratios (WCAG) are against the theme's background.
"""

from functools import lru_cache

from plotly.colors import find_intermediate_color, hex_to_rgb

# Experts under colour blindness: smallest distance in OKLab between any two of the eight (normal, protan, deutan,
# tritan after Machado 2009): light .148 .108 .108 .112, dark .156 .114 .116 .117. Width against depth: at least .22.
THEMES = {
    "light": {
        "bg": "#FFFFFF",
        "ink": "#1B1F24",  # 16.6:1
        "muted": "#5B6570",  # 5.9:1
        "line": "#8A939D",  # 3.1:1 (rules and marks only, never text)
        "hair": "#DCE1E6",
        "grid": "#EDF0F3",
        "width": "#1F6FB2",  # 5.3:1
        "depth": "#B9540A",  # 4.8:1
        "gate": ["#BF530A", "#F3BD8D", "#E6E5E2", "#5C9FD6", "#17588F"],
        "loops": ["#FDEFE0", "#F8CFA4", "#E3924B", "#974207"],
        "difficulty": ["#F8F5FB", "#E7DDF1", "#CDB7E1", "#A681C9", "#7043A0", "#3A1463"],
        "probability": ["#F6F7F8", "#D9DDE1", "#AEB5BC", "#7C858E", "#4B535B", "#1B1F24"],
        "load": ["#F4F8FC", "#CFE2F2", "#97C1E3", "#559ACE", "#1F6FB2", "#0E4273"],
        "change": ["#9C1F8B", "#DDA0D3", "#F3F3F2", "#B4CB94", "#4B7A0E"],
        # experts 0..7 against bg: 5.4 3.3 3.1 5.3 10.3 10.3 5.9 3.0
        "experts": ["#2769C6", "#CB7A21", "#639F84", "#AF4284", "#1C4652", "#742801", "#76621B", "#B480D2"],
    },
    "dark": {
        "bg": "#14171B",
        "ink": "#E8EAED",  # 14.9:1
        "muted": "#A3ACB6",  # 7.8:1
        "line": "#6B7480",  # 3.8:1 (rules and marks only, never text)
        "hair": "#323940",
        "grid": "#22272D",
        "width": "#6DB1F2",  # 7.9:1
        "depth": "#F29A4A",  # 8.1:1
        "gate": ["#F08A33", "#9C5A26", "#3B4046", "#4A90D2", "#9BCBFA"],
        "loops": ["#3A291C", "#7C4A20", "#CC7C2C", "#FFC98F"],
        "difficulty": ["#231E2C", "#42325B", "#6C4D97", "#9B79C7", "#C8AFE7", "#F0E6FB"],
        "probability": ["#1F2429", "#3A4148", "#5F6770", "#8D959E", "#BCC2C9", "#E8EAED"],
        "load": ["#1A2129", "#1F3A55", "#275F92", "#3F87C6", "#6DB1F2", "#C3E0FC"],
        "change": ["#EE7FD0", "#84497A", "#2A2E33", "#556B32", "#A8D05A"],
        # experts 0..7 against bg: 7.1 11.1 3.9 7.1 11.7 3.8 7.2 4.1
        "experts": ["#69A3FD", "#F1C29F", "#567E6F", "#EE7FAF", "#93DAFC", "#C05107", "#95AE34", "#A15CBE"],
    },
}


def luminance(colour: str) -> float:
    """Relative luminance of `#RRGGBB` (WCAG), 0..1."""
    channels = (channel / 255 for channel in hex_to_rgb(colour))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours (WCAG), 1..21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@lru_cache(maxsize=4096)
def text_on(fill: str) -> str:
    """Black or white, whichever reads better on `fill`; one of them always reaches 4.5:1."""
    return "#FFFFFF" if contrast(fill, "#FFFFFF") >= contrast(fill, "#000000") else "#000000"


def mix(first: str, second: str, share: float) -> str:
    """`share` of `second` in `first`, channel by channel."""
    mixed = find_intermediate_color(hex_to_rgb(first), hex_to_rgb(second), share)
    return "#" + "".join(f"{round(channel):02X}" for channel in mixed)


def faded(colour: str, alpha: float) -> str:
    """`#RRGGBB` with opacity."""
    red, green, blue = hex_to_rgb(colour)
    return f"rgba({red},{green},{blue},{alpha:g})"


def colour_at(colours: list[str], position: float) -> str:
    """Colour at 0..1 of a ramp of evenly spaced colours."""
    place = min(max(position, 0.0), 1.0) * (len(colours) - 1)
    low = min(int(place), len(colours) - 2)
    return mix(colours[low], colours[low + 1], place - low)


def ramp(colours: list[str]) -> list[list]:
    """Continuous Plotly scale of evenly spaced colours."""
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def steps(colours: list[str]) -> list[list]:
    """Stepped Plotly scale: use with integer z from 0, zmin=-0.5, zmax=n-0.5."""
    n = len(colours)
    return [[edge, colour] for i, colour in enumerate(colours) for edge in (i / n, (i + 1) / n)]


@lru_cache(maxsize=64)
def loop_colours(max_loops: int, theme: str) -> tuple[str, ...]:
    """One step of orange for 1..max_loops loops, strongest for the most."""
    colours = THEMES[theme]["loops"]
    return tuple(colour_at(colours, (loops - 1) / max(max_loops - 1, 1)) for loops in range(1, max_loops + 1))


def gate_colour(gate: float, theme: str) -> str:
    """Colour of a width share 0..1: orange = all depth, neutral at one half, blue = all width."""
    return colour_at(THEMES[theme]["gate"], gate)


def expert_colour(expert: int, theme: str) -> str:
    """Colour of an expert. There are eight, which repeat: only the printed number identifies an expert."""
    colours = THEMES[theme]["experts"]
    return colours[expert % len(colours)]
