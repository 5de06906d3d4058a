"""Damaged uploads, each read as the app reads it: `python -m benchmarks.uploads`, 500 of each kind by default.

Of every file one bit is turned over, by chance. Prints what became of them and how long one took; ends with exit code 1
if one was neither read nor refused in a sentence, or if the whole file is not read after one of them. Then the same
with the weights of a small model, which are loaded and run.
"""

import argparse
import statistics
import sys
import time
from collections import Counter

from app.server.uploads import prompts_of_upload, trace_of_upload
from tests.flipped import WHOLE, flip_weights, flipped

READ = {"parquet": prompts_of_upload, "trace": trace_of_upload}


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
    """Read damaged files of each kind, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=WHOLE, default=list(WHOLE), help="kinds of files (default: all)")
    parser.add_argument("--count", type=int, default=500, help="files of each kind (default: 500)")
    asked = parser.parse_args()
    fine = True
    for kind in asked.kinds:
        data, found, seconds = WHOLE[kind](), Counter(), []
        for seed in range(asked.count):
            began = time.perf_counter()
            found[outcome(kind, flipped(data, seed))] += 1
            seconds.append(time.perf_counter() - began)
        fine &= found.keys() <= {"read", "refused", "damaged"} and outcome(kind, data) == "read"
        counts = ", ".join(f"{number} {what}" for what, number in found.most_common())
        print(f"{kind}: {counts}; median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s")
    began, found = time.perf_counter(), flip_weights(10 * asked.count)
    counts = ", ".join(f"{len(seeds):,} {what}" for what, seeds in found.items())
    print(f"model: {counts}; mean {(time.perf_counter() - began) / (10 * asked.count):.2f} s")
    return 0 if fine and found.keys() <= {"read", "refused"} else 1


if __name__ == "__main__":
    sys.exit(main())
