"""Numbers as text, written in one way everywhere: the real minus sign, no negative zero, and a dash for no number."""

import math
from collections.abc import Iterable

MINUS, NOTHING = "\u2212", "–"


def number(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """`value` with so many decimals; `signed` puts a plus before what is above zero. NaN is a dash."""
    if math.isnan(value):
        return NOTHING
    return _with_sign(f"{value:.{digits}f}", signed)


def significant(value: float, digits: int = 3) -> str:
    """`value` with so many significant digits, such as 0.0123, 23,600 or 1.23e−08. NaN is a dash."""
    if math.isnan(value):
        return NOTHING
    rounded = f"{value:.{digits}g}"
    return _with_sign(f"{float(rounded):,.0f}" if 1e3 <= abs(float(rounded)) < 1e6 else rounded, signed=False)


def column(values: Iterable[float], digits: int = 3) -> list[str]:
    """Numbers of one column: all with the decimals that give the largest of them so many digits, at most five."""
    values = list(values)
    most = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    decimals = digits - 1 - math.floor(math.log10(most)) if most > 0 else 0
    return [number(value, min(max(decimals, 0), 5)) for value in values]


def millions(count: int) -> str:
    """A count in millions, such as 4.0 M; a small one with more decimals, so that it is never 0.0 M."""
    return f"{number(count / 1e6, 1 if count >= 1e5 else 3)} M"


def percent(share: float, digits: int = 0) -> str:
    """A share 0..1 in per cent with so many decimals, such as 12%. NaN is a dash."""
    text = number(100 * share, digits)
    return text if text == NOTHING else f"{text}%"


def _with_sign(text: str, signed: bool) -> str:
    """A number of Python's with the real minus, and without a sign if only zeros are left of it."""
    bare = text.lstrip("-")
    if not bare.strip("0."):
        return bare
    sign = MINUS if text != bare else "+" if signed else ""
    return sign + bare.replace("e-", f"e{MINUS}")


__all__ = ["MINUS", "NOTHING", "column", "millions", "number", "percent", "significant"]
