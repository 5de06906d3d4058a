"""Damaged files, each read as the app reads it: `python -m benchmarks.uploads`, 500 of each kind by default.

Of every file one bit is turned over, by chance: of uploads (parquet, trace), and of the weights of a small model, which
are loaded and run. Prints what became of them and how long one took; ends with exit code 1 if one was neither read nor
refused in a sentence, or if the whole file is not read afterwards.
"""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator

from app.server.uploads import prompts_of_upload, trace_of_upload
from tests.flipped import WHOLE, flipped, flipped_weights

READ = {"parquet": prompts_of_upload, "trace": trace_of_upload}
KINDS = (*WHOLE, "model")


def uploads(kind: str, seeds: range) -> Iterator[str]:
    """What becomes of so many uploads, and of the whole file before and after them."""
    data = WHOLE[kind]()
    yield outcome(kind, data)
    yield from (outcome(kind, flipped(data, seed)) for seed in seeds)
    yield outcome(kind, data)


def outcome(kind: str, data: bytes) -> str:
    """What becomes of one file."""
    try:
        READ[kind](f"p.{kind}", data)
    except ValueError as error:
        sentence = str(error)
        if "\n" in sentence or len(sentence) > 200:
            return f"no sentence: {sentence!r}"
        return "damaged" if "breaks off" in sentence else "refused"
    return "read"


def main() -> int:
    """Damage and read so many files of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of files (default: all)")
    parser.add_argument("--count", type=int, default=500, help="files of each kind (default: 500)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first file of each kind (default: 0)")
    asked = parser.parse_args()
    fine, seeds = True, range(asked.first, asked.first + asked.count)
    for kind in asked.kinds:
        found, seconds = Counter(), []
        outcomes = flipped_weights(seeds) if kind == "model" else uploads(kind, seeds)
        whole = {next(outcomes)}  # what it takes is imported before
        for _ in seeds:
            began = time.perf_counter()
            found[next(outcomes)] += 1
            seconds.append(time.perf_counter() - began)
        fine &= whole | set(outcomes) == {"read"}
        fine &= found.keys() <= {"read", "refused", "damaged"}
        counts = ", ".join(f"{number:,} {what}" for what, number in found.most_common())
        print(f"{kind}: {counts}; median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s", flush=True)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
