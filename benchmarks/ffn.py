"""The FFN in which every token runs its own loops, against the released algorithm, at the size of the 354M model.

    python -m benchmarks.ffn [--tokens 512] [--rounds 9] [--layers 3]

Random weights; the loops of every token are planted, spread evenly over 1..4 or as .80 / .12 / .06 / .02. The released
algorithm is written here after its description: all tokens run as many loops as the token that needs most, all states
are stacked and the chosen one gathered, and the experts are run one after the other over masked tokens. Beside the
measured ratio stands the one that counting multiplications predicts. The whole model is its decoder stack (attention
and FFN of a few layers, no head), since fifteen layers would only repeat it.
"""

import argparse
import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.interleaved import interleaved_medians
from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.feed_forward import VersatileFFN
from sample_models.lambda_gate import width_share
from sample_models.modeling_versatile import VersatileFFNForCausalLM
from sample_models.units import swiglu

SHARES = {"spread evenly": (0.25, 0.25, 0.25, 0.25), ".80 .12 .06 .02": (0.80, 0.12, 0.06, 0.02)}
"""Share of tokens that take 1, 2, 3 and 4 loops."""
FFN_GOAL = {"spread evenly": 1.6, ".80 .12 .06 .02": 2.5}
MODEL_GOAL = {"spread evenly": 1.4, ".80 .12 .06 .02": 2.0}


class ReleasedFFN(torch.nn.Module):
    """The released algorithm in eval mode over the weights of a `VersatileFFN`, with the loop choice given by its tap.

    Slices of the weights are views here, never copies.
    """

    def __init__(self, ffn: VersatileFFN):
        super().__init__()
        self.ffn = ffn

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        ffn = self.ffn
        choice, _ = ffn.choose_loops(hidden)  # [b p]
        states = [hidden]
        for _ in range(int(choice.max()) + 1):  # every token, as deep as the deepest
            states.append(ffn.loop(states[-1]))
        stacked = torch.stack(states[1:], dim=2)  # [b p loop d]
        depth_out = stacked.gather(2, choice[..., None, None].expand(-1, -1, 1, hidden.shape[-1])).squeeze(2)
        gate = width_share(choice + 1, ffn.max_loops).to(hidden.dtype)[..., None]
        active = gate.flatten() > 0
        width_out = torch.zeros_like(hidden).flatten(0, -2)
        if active.any():
            width_out[active] = self.experts(hidden.flatten(0, -2)[active])
        return gate * width_out.view_as(hidden) + (1 - gate) * depth_out

    def experts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Y_width [token d]: each expert runs the tokens that chose it."""
        ffn, size = self.ffn, self.ffn.down_proj.in_features // self.ffn.num_experts
        kept, indices = ffn.router(tokens).topk(ffn.top_k, dim=-1)
        weights = kept.float().softmax(dim=-1).to(tokens.dtype)
        output, normed = tokens.clone(), ffn.norm(tokens)
        up = ffn.up_gate_proj.weight.view(2, ffn.num_experts, size, -1)  # [half, expert, unit, d]
        for expert in range(ffn.num_experts):
            rows, k = (indices == expert).nonzero(as_tuple=True)
            value, gate = (F.linear(normed[rows], half[expert]) for half in up)
            units = swiglu(torch.cat([value, gate], dim=-1))
            out = F.linear(units, ffn.down_proj.weight[:, expert * size : (expert + 1) * size])
            output.index_add_(0, rows, out * weights[rows, k, None])
        return output


def planted_choice(shares: tuple[float, ...], tokens: int) -> torch.Tensor:
    """Loop choices [1, token], 0-based, in these shares as nearly as whole tokens allow, in random order."""
    bounds = (torch.tensor(shares).cumsum(0) * tokens).round()
    choice = torch.bucketize(torch.arange(tokens).float(), bounds, right=True).clamp_max(len(shares) - 1)
    return choice[torch.randperm(tokens)][None]


def plant(ffn: VersatileFFN, choice: torch.Tensor):
    """From now on the depth head chooses this."""
    return ffn.hook_loop_choice.register_forward_hook(lambda module, inputs, own: choice)


def ffn_passes(choice: torch.Tensor, config: VersatileFFNConfig) -> tuple[float, float]:
    """Multiplications of one FFN in units of one dense pass over all tokens: (released, ours)."""
    experts = (choice < config.max_loops - 1).float().mean() * config.num_experts_per_tok / config.num_experts
    return float(choice.max() + 1 + experts), float((choice + 1).float().mean())


def attention_passes(config: VersatileFFNConfig, tokens: int) -> float:
    """Multiplications of one attention in the same unit: four projections, and scores and sums over half the pairs."""
    d = config.hidden_size
    return (4 * d * d + tokens * d) / (3 * d * config.intermediate_size)


class HeldMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive and were made in it; `peak` is the most there were at once."""

    def __init__(self):
        super().__init__()
        self.known, self.held, self.peak = weakref.WeakSet(), 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.known.update(storages((args, kwargs)))  # of tensors from outside, for example weights, a result is a view
        result = func(*args, **(kwargs or {}))
        for storage in storages(result) - set(self.known):
            self.known.add(storage)
            self.held += storage.nbytes()
            weakref.finalize(storage, self.release, storage.nbytes())
        self.peak = max(self.peak, self.held)
        return result

    def release(self, size: int) -> None:
        self.held -= size


def storages(tree) -> set[torch.UntypedStorage]:
    """The memory behind all tensors of nested lists, tuples and dicts."""
    return {leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)}


def peak_memory(function: Callable[[], object]) -> float:
    """MiB that tensors made by the function held at most at once."""
    with HeldMemory() as memory:
        function()
    return memory.peak / 2**20


def compare(ours: Callable, released: Callable, predicted: float, goal: float | None, rounds: int) -> None:
    """Print both medians, their ratio beside the predicted one, and the peak memory of both."""
    gap = (ours() - released()).abs().max() / released().abs().max()
    medians = interleaved_medians({"released": released, "ours": ours}, rounds)
    ratio = medians["released"] / medians["ours"]
    goals = "" if goal is None else f" (goal {goal})"
    print(
        f"  released {medians['released'] * 1e3:8.1f} ms   ours {medians['ours'] * 1e3:8.1f} ms   "
        f"ratio {ratio:.2f}{goals}, predicted {predicted:.2f} ({ratio / predicted - 1:+.0%})"
    )
    print(
        f"  peak memory {peak_memory(released):.0f} against {peak_memory(ours):.0f} MiB; "
        f"outputs differ by {float(gap):.1e} of the largest entry"
    )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--layers", type=int, default=3, help="layers of the whole model; 0 leaves it out")
    args = parser.parse_args()
    torch.manual_seed(0)
    sizes = dict(hidden_size=1024, intermediate_size=4096, num_attention_heads=16, vocab_size=256)
    config = VersatileFFNConfig(**sizes, num_hidden_layers=max(args.layers, 1))
    amx = "amx_tile" in (Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else "")
    print(
        f"d {config.hidden_size}, d_ff {config.intermediate_size}, {config.num_experts} experts, {args.tokens} tokens, "
        f"{torch.get_num_threads()} threads, medians of {args.rounds} rounds, CPU {'with' if amx else 'without'} AMX"
    )
    ffn, hidden = VersatileFFN(config).eval(), torch.randn(1, args.tokens, config.hidden_size)
    half = VersatileFFN(config).eval()
    half.load_state_dict(ffn.state_dict())
    half = half.bfloat16()
    for name, shares in SHARES.items():
        choice = planted_choice(shares, args.tokens)
        handles = [plant(ffn, choice), plant(half, choice)]
        released, ours = ffn_passes(choice, config)
        for dtype, layer, goal in (("float32", ffn, FFN_GOAL[name]), ("bfloat16", half, None)):
            given, baseline = hidden.to(layer.norm.weight.dtype), ReleasedFFN(layer)
            print(f"FFN, loops {name}, {dtype}")
            compare(lambda f=layer, x=given: f(x), lambda f=baseline, x=given: f(x), released / ours, goal, args.rounds)
        short = hidden.bfloat16()
        medians = interleaved_medians({"32": lambda: ffn(hidden), "16": lambda x=short: half(x)}, args.rounds)
        print(f"  ours, bfloat16 / float32: {medians['16'] / medians['32']:.2f} of the time")
        for handle in handles:
            handle.remove()
    if args.layers:
        stack = VersatileFFNForCausalLM(config).eval().model
        ids = torch.randint(0, config.vocab_size, (1, args.tokens))
        layers = [(layer, layer.mlp) for layer in stack.layers]

        def run(wrap: Callable[[VersatileFFN], torch.nn.Module]) -> torch.Tensor:
            for layer, own in layers:
                layer.mlp = wrap(own)
            return stack(ids, use_cache=False).last_hidden_state

        baselines = {own: ReleasedFFN(own) for _, own in layers}
        attention = attention_passes(config, args.tokens)
        for name, shares in SHARES.items():
            choice = planted_choice(shares, args.tokens)
            handles = [plant(own, choice) for _, own in layers]
            released, ours = ffn_passes(choice, config)
            print(f"Decoder stack of {args.layers} layers, loops {name}, float32")
            predicted = (released + attention) / (ours + attention)
            compare(
                lambda: run(torch.nn.Sequential), lambda: run(baselines.get), predicted, MODEL_GOAL[name], args.rounds
            )
            for handle in handles:
                handle.remove()


if __name__ == "__main__":
    main()
