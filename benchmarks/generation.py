"""What it costs to see the routing of a text while it is generated: tokens per second beside plain `generate`.

python -m benchmarks.generation [--model NAME] [--tokens 64] [--rounds 15]
"""

import argparse

import torch

from benchmarks.interleaved import interleaved_medians
from hooks import Generation, Sampling
from sample_models import load_model

PROMPT = "Once upon a time there was a little fox who lived in the old forest."
DRAWN = Sampling(temperature=0.8, top_k=40, top_p=0.95)
GOAL = 0.8
"""Share of plain `generate`'s tokens per second that a generation should reach."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None, help="name of a model, or a folder (default: the explorer's)")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    plain, loaded = load_model(args.model), load_model(args.model)
    for each in (plain, loaded):
        each.model.generation_config.eos_token_id = None  # both write as many tokens
    ids = plain.tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    drawn = {"do_sample": True, "temperature": DRAWN.temperature, "top_k": DRAWN.top_k, "top_p": DRAWN.top_p}

    def generate(**how) -> None:
        plain.model.generate(ids, max_new_tokens=args.tokens, pad_token_id=0, **how)

    def grow(sampling: Sampling) -> None:
        written = Generation(loaded, PROMPT, sampling=sampling)
        assert sum(1 for _ in written.steps(args.tokens)) == args.tokens
        written.trace()

    ways = {"greedy": ({"do_sample": False}, Sampling()), "drawn": (drawn, DRAWN)}
    functions = {}
    for name, (how, sampling) in ways.items():
        functions[f"generate, {name}"] = lambda how=how: generate(**how)
        functions[f"with its trace, {name}"] = lambda sampling=sampling: grow(sampling)
    seconds = interleaved_medians(functions, args.rounds)
    print(
        f"{loaded.name}, {args.tokens} tokens after {ids.shape[1]}, {torch.get_num_threads()} threads, medians of "
        f"{args.rounds} rounds"
    )
    for name, taken in seconds.items():
        print(f"{name:24s} {args.tokens / taken:8.1f} tokens/s")
    for name in ways:
        ratio = seconds[f"generate, {name}"] / seconds[f"with its trace, {name}"]
        print(f"speed beside generate, {name}: {ratio:.2f} (goal: at least {GOAL})")


if __name__ == "__main__":
    main()
