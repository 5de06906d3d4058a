"""Cost of the FFNs in passes through one dense FFN (FFN-equivalents) and in FLOPs: nominal, and as programs run it.

One pass of a token through a SwiGLU FFN takes 6 d f FLOPs (a multiply-add is two): 4 d f for the gate and up
projections, 2 d f for the down projection. Norms and element-wise operations are not counted, nor are router and depth
head (`heads_share` gives their cost).

Three accounts of the same text, per token and layer:
    nominal   The paper's: loops + k/N where lambda > 0. An expert is 1/N of the FFN, and k of them run.
    released  The authors' code, which loops every token of a batch as often as the deepest one: the largest number of
              loops in the layer + k/N where lambda > 0. Here the batch is the one text.
    ours      `sample_models`: loops only. Later loops run only for the tokens that chose them. Experts reuse hidden
              units of loop 1, and the down projection of a token's last loop, which runs anyway, sums their outputs.
"""

from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.aggregate import mean_over_tokens
from analysis.overview import width_cost, width_passes
from hooks.trace import RoutingTrace

Account = Literal["nominal", "released", "ours"]
ACCOUNTS: tuple[Account, ...] = ("nominal", "released", "ours")
BASELINE_LOOPS = (2, 4, 6)
"""k-loop baselines of the paper's Table 2."""


def dense_flops(trace: RoutingTrace) -> int:
    """FLOPs of one pass of one token through one layer's FFN: 6 d f.

    Raises ValueError for a trace that does not name the model's sizes.
    """
    return 6 * _size(trace, "hidden_size") * _size(trace, "intermediate_size")


def heads_share(trace: RoutingTrace) -> float:
    """FLOPs of router and depth head, 2 d (N + max_loops), as a share of one pass; no account includes them."""
    return (trace.num_experts + trace.max_loops) / (3 * _size(trace, "intermediate_size"))


def depth_cost(trace: RoutingTrace, account: Account) -> Float[np.ndarray, "layer token"]:
    """FFN passes that the depth path takes for each token in each layer."""
    if account != "released":
        return trace.loops.astype(float)
    return np.broadcast_to(trace.loops.max(axis=1, keepdims=True), trace.loops.shape).astype(float)


def experts_cost(trace: RoutingTrace, account: Account) -> Float[np.ndarray, "layer token"]:
    """FFN passes that the width path takes; 0 where it did not run, and in the account `ours`."""
    return np.zeros(trace.loops.shape) if account == "ours" else width_passes(trace)


def cost(trace: RoutingTrace, account: Account = "nominal") -> Float[np.ndarray, "layer token"]:
    """FFN passes that each token takes in each layer; `nominal` equals `overview.ffn_equivalents`."""
    return depth_cost(trace, account) + experts_cost(trace, account)


def cost_ledger(trace: RoutingTrace) -> pd.DataFrame:
    """One row per design and account: mean cost per ordinary token and layer, and FLOPs per token over all layers.

    The baselines have the same sizes: dense, MoE (the dense FFN plus k of N experts, each 1/N of its size) and k-loop.
    Columns: design, account ("" for baselines), depth, experts, idle, total (all in FFN passes, total = depth +
    experts + idle), flops_per_token. `idle`: loops that were run for tokens that had already left.
    """
    nominal_depth = _mean(trace, depth_cost(trace, "nominal"))
    rows = [("dense", "", 1.0, 0.0, 0.0), ("MoE", "", 1.0, width_cost(trace), 0.0)]
    rows += [(f"{loops}-loop", "", float(loops), 0.0, 0.0) for loops in BASELINE_LOOPS]
    for account in ACCOUNTS:
        idle = _mean(trace, depth_cost(trace, account)) - nominal_depth
        rows.append(("VersatileFFN", account, nominal_depth, _mean(trace, experts_cost(trace, account)), idle))
    table = pd.DataFrame(rows, columns=["design", "account", "depth", "experts", "idle"])
    table["total"] = table[["depth", "experts", "idle"]].sum(axis=1, skipna=False)
    return table.assign(flops_per_token=table["total"] * dense_flops(trace) * trace.num_layers)


def cost_by_layer(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x account: mean cost over ordinary tokens in FFN passes, and FLOPs per token."""
    means = np.stack([mean_over_tokens(trace, cost(trace, account)) for account in ACCOUNTS], axis=1)
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(trace.num_layers), len(ACCOUNTS)),
            "account": list(ACCOUNTS) * trace.num_layers,
            "ffn_equivalents": means.ravel(),
            "flops_per_token": means.ravel() * dense_flops(trace),
        }
    )


def cost_table(trace: RoutingTrace) -> pd.DataFrame:
    """One row per layer x token: loops, whether the width path ran, and the cost by each account in FFN passes."""
    table = trace.to_frame()[["layer", "token", "text", "special", "loops", "width_ran"]]
    return table.assign(**{account: cost(trace, account).ravel() for account in ACCOUNTS})


def counted_and_measured(trace: RoutingTrace, seconds: dict[str, float]) -> pd.DataFrame:
    """One row per measured run of all layers' FFNs over this text: its cost as counted and as measured.

    `seconds` are those of `hooks.time_ffn`. Columns: run, counted and measured (both with dense = 1), milliseconds.
    `counted` includes the tokens that the tokenizer added, since they ran too.
    """
    counted = {
        "dense": 1.0,
        "as chosen": float(cost(trace, "ours").mean()),
        "deepest": float(depth_cost(trace, "released").mean()),
        "all loops": float(trace.max_loops),
    }
    return pd.DataFrame(
        {
            "run": list(counted),
            "counted": list(counted.values()),
            "measured": [seconds[run] / seconds["dense"] for run in counted],
            "milliseconds": [1000 * seconds[run] for run in counted],
        }
    )


def _mean(trace: RoutingTrace, values: np.ndarray) -> float:
    return float(mean_over_tokens(trace, values).mean())


def _size(trace: RoutingTrace, name: str) -> int:
    size = trace.meta.get("config", {}).get(name)
    if not size:
        raise ValueError(f"This trace does not name the model's {name}, which FLOPs need: trace the text again")
    return int(size)


__all__ = [
    "ACCOUNTS", "Account", "counted_and_measured", "cost", "cost_by_layer", "cost_ledger", "cost_table", "dense_flops",
    "depth_cost", "experts_cost", "heads_share",
]  # fmt: skip
