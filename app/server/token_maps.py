"""Maps of the tokens of runs, and the samples that they are of, for all visitors. No Streamlit."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.runs.chosen import ChosenTokens
from analysis.runs.filters import TokenFilter
from analysis.runs.map import TokenMap, pca_map
from analysis.runs.occurrences import occurrences
from analysis.runs.run import Run
from analysis.runs.sampling import TokenSample, sample_tokens
from app.limits import MAX_MAPS, MAX_SAMPLES_BYTES
from app.server import runs
from app.server.result_cache import ResultCache


def _sample(folder: Path, _: int, chosen: TokenFilter, most: int, seed: int) -> TokenSample:
    with runs.told(folder):
        return sample_tokens(runs.opened(folder), chosen, most=most, seed=seed)


def _map_by_pca(
    folder: Path, made: int, chosen: TokenFilter, most: int, seed: int, blocks: tuple[str, ...]
) -> TokenMap:
    return pca_map(_samples(folder, made, chosen, most, seed), blocks)


_samples = ResultCache(_sample, entries=MAX_MAPS, most_bytes=MAX_SAMPLES_BYTES, turn=nullcontext)
_maps = ResultCache(_map_by_pca, entries=MAX_MAPS, most_bytes=MAX_SAMPLES_BYTES, turn=nullcontext)


def sample_of(folder: Path, chosen: TokenFilter, most: int, seed: int) -> TokenSample:
    """The sample of the tokens that a filter lets through. Raises RunError if the run is gone or damaged."""
    return _samples(folder, runs.stamp(folder), drawn_from(chosen), most, seed)


def map_by_pca(folder: Path, chosen: TokenFilter, most: int, seed: int, blocks: tuple[str, ...]) -> TokenMap:
    """The map of such a sample by PCA. Raises RunError like `sample_of`, and ValueError like `pca_map`."""
    return _maps(folder, runs.stamp(folder), drawn_from(chosen), most, seed, blocks)


def token_in_context(run: Run, prompt: int, token: int) -> dict[str, Any]:
    """A token of a run with the text before and after it, as `occurrences` has them."""
    there = TokenFilter(special=True, among=ChosenTokens([prompt], [token]))
    return occurrences(run, there, first=0, rows=1, mixed=False, layer=None).iloc[0].to_dict()


def drawn_from(chosen: TokenFilter) -> TokenFilter:
    """The filter whose tokens a map shows: without those chosen on the map itself, and without a layer that alone
    leaves out no token."""
    chosen = replace(chosen, among=None)
    by_layer = chosen.loops or chosen.expert is not None or chosen.difficulty is not None
    return chosen if by_layer else replace(chosen, layer=None)


__all__ = ["drawn_from", "map_by_pca", "sample_of", "token_in_context"]
