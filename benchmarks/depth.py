"""What a sweep over every number of loops costs: each cell (loops, layer, token) against one full pass over the text.

Cells are counted once for each of the two ways to force them (lambda follows or is held); a cell at the number that the
model chose counts too, although it needs no run. The naive way takes one full pass for each of the others. Full passes
are measured between the tokens of the sweep, and all in seconds of the processor, which other programs hardly lengthen.

python -m benchmarks.depth [--model versatile-6l-4m] [--tokens 64]
"""

import argparse
import statistics
import time

import torch

from app.texts.examples import EXAMPLES
from hooks import capture, sweep_tokens
from hooks.depth_effects import GATES
from sample_models import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="versatile-6l-4m")
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    loaded = load_model(args.model)
    story = " ".join(prompt.text for prompt in EXAMPLES.values())
    ids = loaded.tokenizer(story, return_tensors="pt", verbose=False)["input_ids"][:, : args.tokens]
    trace = capture(loaded, loaded.tokenizer.decode(ids[0]))

    def full_pass() -> float:
        began = time.process_time()
        with torch.inference_mode():
            loaded.model(ids, use_cache=False)
        return time.process_time() - began

    full_pass()
    sweep, passes, began = 0.0, [], time.process_time()
    for _ in sweep_tokens(loaded, trace):
        sweep += time.process_time() - began
        passes.append(full_pass())
        began = time.process_time()
    full = statistics.median(passes)
    cells = len(GATES) * trace.max_loops * trace.num_layers * (trace.num_tokens - 1)
    print(f"{loaded.name}, {trace.num_tokens} tokens, {torch.get_num_threads()} threads")
    print(f"full pass                {full * 1e3:10.1f} ms")
    print(f"sweep of {cells:,} cells {sweep:14.1f} s")
    print(f"one cell / full pass     {sweep / cells / full:10.3f}")


if __name__ == "__main__":
    main()
