"""How often cards, domains and specialisation take chance for a finding, how often they find what is there, how fast.

python -m benchmarks.cards [--runs 20] [--prompts 40] [--of RUN]       some minutes on one core

In these runs each prompt has a taste of its own for experts and loops, so that its tokens choose alike, and nothing
follows the tokens or the kind of prompt. Then digits choose one expert of one layer. With `--of`, a card, domains and
specialisation of a run are timed too.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.runs.cards import card
from analysis.runs.choices import Choice, choices_of
from analysis.runs.domains import domain_columns, domain_difference
from analysis.runs.run import Run
from analysis.runs.specialisation import specialisation
from tests.planted_runs import EXPERT, LAYER, drawn_traces
from tests.runs import make_run

LEVEL = 0.05
LAYERS = 12


def of_nothing(run: Run) -> dict[str, np.ndarray]:
    """p of everything that is compared in a run, by what it is."""
    cards = [card(run, choice) for choice in choices_of(run.sizes, range(0, LAYERS, 4))]
    found = {
        "tokens of a card": pd.concat([each.tokens for each in cards])["p"],
        "classes of a card": pd.concat([each.classes for each in cards])["p"],
        "neighbours": pd.concat([each.neighbours for each in cards if len(each.neighbours)])["p"],
        "domains": domain_difference(run, "kind", "odd", "even")["p"],
    }
    by_label = specialisation(run, column="kind", draws=99).groupby("label")["p"]
    return {name: p.dropna().to_numpy() for name, p in (found | {f"follows the {k}": p for k, p in by_label}).items()}


def of_planted(run: Run) -> dict[str, bool]:
    """Whether what was planted in a run is found, with corrected p."""
    found = card(run, Choice(LAYER, expert=EXPERT))
    told = specialisation(run, column="kind", draws=399).set_index(["choice", "label", "layer"]).sort_index()
    digits = found.tokens[found.tokens["text"].isin(["␣7", "␣12"])]
    return {
        "both digits on top of the card": set(found.tokens["text"][:2]) == {"␣7", "␣12"}
        and bool((digits["p_corrected"] < LEVEL).all()),
        "digits the first class": found.classes.sort_values("lift_low").iloc[-1]["class"] == "digits",
        "the layer follows the token": told.loc[("expert", "token_id", LAYER), "p_corrected"] < LEVEL,
        "the layer follows the class": told.loc[("expert", "class", LAYER), "p_corrected"] < LEVEL,
    }


def timed(folder: Path) -> None:
    """Print how long the questions about a run take."""
    with Run(folder) as run:
        print(f"\n{run}")
        columns = domain_columns(run)
        column = next(iter(columns), None)
        asked = {
            "card of an expert": lambda: card(run, Choice(run.sizes.num_layers // 2, expert=0)),
            "card of the most loops": lambda: card(run, Choice(0, loops=run.sizes.max_loops)),
            "specialisation": lambda: specialisation(run, column=column),
        }
        if column:
            asked["domain against domain"] = lambda: domain_difference(run, column, *columns[column][:2])
        for name, ask in asked.items():
            taken = []
            for _ in range(5):
                begun = time.perf_counter()
                ask()
                taken.append(time.perf_counter() - begun)
            print(f"{name:28}{np.median(taken):8.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--of", type=Path, help="a run of which the questions are timed")
    given = parser.parse_args()
    nothing: dict[str, list[np.ndarray]] = {}
    planted: dict[str, list[bool]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.runs):
            traces = drawn_traces(given.prompts, seed=seed, layers=LAYERS)
            with make_run(Path(folder) / f"nothing-{seed}", traces) as run:
                for name, p in of_nothing(run).items():
                    nothing.setdefault(name, []).append(p)
            traces = drawn_traces(given.prompts, seed=1000 + seed, planted=True)
            with make_run(Path(folder) / f"planted-{seed}", traces) as run:
                for name, found in of_planted(run).items():
                    planted.setdefault(name, []).append(found)
    print(f"{given.runs} runs of {given.prompts} prompts with 14 tokens\n\nnothing is there: p below {LEVEL}")
    for name, of_runs in nothing.items():
        p = np.concatenate(of_runs)
        print(f"{name:28}{100 * (p < LEVEL).mean():6.1f}% of {len(p):,} comparisons")
    print("\nplanted: found, p corrected")
    for name, found in planted.items():
        print(f"{name:32}{sum(found)} of {len(found)} runs")
    if given.of:
        timed(given.of)


if __name__ == "__main__":
    main()
