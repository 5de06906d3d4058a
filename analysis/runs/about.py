"""What figures about a run are drawn from, beside the atlas: each says which run it is of and what it counts."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.runs.filters import TokenFilter
from analysis.words.labels import how_many


@dataclass(frozen=True, eq=False, kw_only=True)
class AboutRun:
    """Something that a run says under a filter."""

    run: str
    """Its name."""
    meta: dict[str, Any]
    """Model and weights, as in a trace."""
    chosen: TokenFilter

    @property
    def counted(self) -> str:
        """What is counted, in a sentence."""
        return ""


@dataclass(frozen=True, eq=False, kw_only=True)
class DomainContrast(AboutRun):
    """Two domains of a run, set against each other."""

    column: str
    first: str
    second: str
    layer: int
    """The layer whose intervals are drawn."""
    table: pd.DataFrame
    """Of `analysis.runs.domains.domain_difference`."""

    @property
    def counted(self) -> str:
        return f"{self.column}: “{self.first}” against “{self.second}”, {how_many(len(self.table), 'comparison')}."


@dataclass(frozen=True, eq=False, kw_only=True)
class Specialised(AboutRun):
    """What the layers of a run specialise in."""

    column: str | None
    """Of the domains."""
    table: pd.DataFrame
    """Of `analysis.runs.specialisation.specialisation`."""

    @property
    def counted(self) -> str:
        if self.table.empty:
            return ""
        most = self.table[["tokens", "prompts"]].max()
        sample = f"A sample of {how_many(int(most['tokens']), 'token')} of {how_many(int(most['prompts']), 'prompt')}"
        return f"{sample}{f'; domains by {self.column}' if self.column else ''}."


@dataclass(frozen=True, eq=False, kw_only=True)
class Saturated(AboutRun):
    """How early the routing of other runs agrees with that of this one."""

    table: pd.DataFrame | None
    """Of `analysis.runs.saturation.saturation`; None if there is no other run of the same texts."""

    @property
    def counted(self) -> str:
        if self.table is None:
            return ""
        return f"{how_many(self.table['run'].nunique(), 'earlier run')}, {int(self.table['tokens'].max()):,} tokens."


__all__ = ["AboutRun", "DomainContrast", "Saturated", "Specialised"]
