"""What looking costs: hooks and copies against a plain forward pass, `capture` against tokenise + forward, and the
paths of one layer of a traced text against a forward pass.

python -m benchmarks.capture [--tokens 512] [--rounds 60]
"""

import argparse

import torch

from app.texts.examples import EXAMPLES
from benchmarks.interleaved import interleaved_medians
from hooks import HOOK_NAMES, capture, capture_paths, instrument, record
from sample_models import load_model


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    plain, loaded = load_model(), load_model()
    instrument(loaded.model)
    story = " ".join(prompt.text for prompt in EXAMPLES.values()) * (1 + args.tokens // 200)
    ids = plain.tokenizer(story, return_tensors="pt")["input_ids"][:, : args.tokens]
    text = plain.tokenizer.decode(ids[0])
    layers, trace = plain.config.num_hidden_layers, capture(loaded, text)
    names = [pattern.format(layer) for pattern in HOOK_NAMES.values() for layer in range(layers)]

    def forward():
        plain.model(ids, use_cache=False)

    def tapped():
        with record(names) as recording:
            loaded.model(ids, use_cache=False)
        return [tensor.float().numpy().copy() for tensor in recording.values()]

    def tokenise_and_forward():
        plain.model(plain.tokenizer(text, return_tensors="pt")["input_ids"], use_cache=False)

    medians = interleaved_medians(
        {
            "forward": forward,
            "forward, hooked and copied": tapped,
            "tokenise + forward": tokenise_and_forward,
            "capture": lambda: capture(loaded, text),
            "capture_paths, one layer": lambda: capture_paths(loaded, trace, layers=[layers // 2]),
        },
        args.rounds,
    )
    print(f"{loaded.name}, {args.tokens} tokens, {torch.get_num_threads()} threads, medians of {args.rounds} rounds")
    for name, seconds in medians.items():
        print(f"{name:28s} {seconds * 1e3:8.1f} ms")
    print(f"hooks and copies / forward:       {medians['forward, hooked and copied'] / medians['forward']:.3f}")
    print(f"capture / (tokenise + forward):   {medians['capture'] / medians['tokenise + forward']:.3f}")
    print(f"paths of one layer / forward:     {medians['capture_paths, one layer'] / medians['forward']:.3f}")


if __name__ == "__main__":
    main()
