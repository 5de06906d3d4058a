"""The feed-forward layers of the paper's family: one base FFN f, used once, deep, wide, or both.

    dense      Y = H + f(H)
    k_loop     Y = H(max_loops), with H(0) = H and H(l) = H(l-1) + f(H(l-1))
    depth      Y = Y_depth = H(loops), the loops chosen per token by the depth head
    width      Y = H + f(H) + sum_k w_k f_{e_k}(H), the top-k virtual experts chosen by the router
    moe        the same with real experts: hidden units of their own, as many as f has
    average    Y = (Y_width + Y_depth) / 2, with Y_width = H + sum_k w_k f_{e_k}(H)
    versatile  Y = lambda * Y_width + (1 - lambda) * Y_depth, lambda = (max_loops - loops) / max_loops

Each class adds one piece to its parents: `LoopFFN` the loops, `DepthPath` the depth head, `RoutedFFN` the router,
`WidthPath` the virtual experts. Every quantity of interest passes through a `Tap`. The output includes the residual H.

Both paths write through the one matrix W_out, so a layer adds W_out c to the stream, with one number c for each hidden
unit. `hook_post` shows c, and `hook_post_{l}` the units after SwiGLU in loop l; the width path weighs those of loop 1.

Shapes: b batch, p token position, d hidden_size, f intermediate_size. Loops count from 1; a loop *choice* from 0.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from .configuration_versatile import VersatileFFNConfig
from .lambda_gate import width_share
from .taps import Tap
from .units import at_least_float32, each_alone, swiglu, swiglu_, units_until, weigh_slices, weights_among


class DenseFFN(nn.Module):
    """One SwiGLU pass with its own norm: Y = H + f(H)."""

    def __init__(self, config: VersatileFFNConfig):
        super().__init__()
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        # One matrix for both halves: rows [0, f) are the value, rows [f, 2f) the gate of SwiGLU.
        self.up_gate_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.hook_in, self.hook_post, self.hook_out = Tap(), Tap(), Tap()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.hook_out(self.output(self.hook_in(hidden)))

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        """Y [b p d] from H [b p d]; each kind of FFN overrides this."""
        return hidden + self.down_proj(self.hook_post(self.activations(hidden)))

    def activations(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden units of the FFN after SwiGLU: [..., d] -> [..., f]."""
        return swiglu(self.up_gate_proj(self.norm(hidden)))

    def loop(self, hidden: torch.Tensor, slices: torch.Tensor | None = None) -> torch.Tensor:
        """F(h) = h + f(h): one pass through the shared FFN, with each expert's slice times `slices` [..., expert]."""
        units = self.activations(hidden)
        return hidden + self.down_proj(units if slices is None else weigh_slices(units, slices))

    def seen_whole(self, hidden: torch.Tensor, output: torch.Tensor, units: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Y [b p d]: `output`, or H + W_out c if c, which `units()` gives [b p f], is edited at its tap."""
        if not self.hook_post.listening:
            return output
        total = units()
        edited = self.hook_post(total)
        return output if edited is total else hidden + self.down_proj(edited)


class LoopFFN(DenseFFN):
    """Every token takes all `max_loops` loops: Y = H(max_loops)."""

    def __init__(self, config: VersatileFFNConfig):
        super().__init__(config)
        self.max_loops = config.max_loops
        for loop in range(1, config.max_loops + 1):
            self.add_module(f"hook_post_{loop}", Tap())
            self.add_module(f"hook_depth_state_{loop}", Tap())

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        states, written = self.all_loops(hidden, self.hook_post_1(self.activations(hidden)))
        return self.seen_whole(hidden, states[-1], lambda: sum(written))

    def all_loops(
        self, hidden: torch.Tensor, units: torch.Tensor, slices: torch.Tensor | None = None
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """H(1) to H(max_loops), each [b p d], and the units that each loop wrote with [b p f]; `units` are loop 1's."""
        states, written = [], []
        for loop in range(1, self.max_loops + 1):
            if loop > 1:
                units = getattr(self, f"hook_post_{loop}")(self.activations(states[-1]))
            written.append(units if slices is None else weigh_slices(units, slices))
            state = (states[-1] if states else hidden) + self.down_proj(written[-1])
            states.append(getattr(self, f"hook_depth_state_{loop}")(state))
        return states, written


class DepthPath(LoopFFN):
    """A depth head, which reads the un-normalised H, chooses the loops of every token."""

    def __init__(self, config: VersatileFFNConfig):
        super().__init__(config)
        self.depth_head = nn.Linear(config.hidden_size, config.max_loops, bias=False)
        self.tau = nn.Buffer(torch.tensor(config.training_tau), persistent=False)
        self.hook_depth_logits, self.hook_loop_choice, self.hook_depth_out = Tap(), Tap(), Tap()
        self.slices, self.hook_depth_slices = config.num_experts, Tap()

    def choose_loops(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loop choice [b p] and its one-hot form [b p loop], differentiable (straight-through) in training."""
        logits = self.hook_depth_logits(self.depth_head(hidden))  # [b p loop]
        scores = at_least_float32(logits)
        if self.training:
            gumbel = -torch.empty_like(scores).exponential_().log()
            scores = (scores + gumbel) / self.tau
        choice = self.hook_loop_choice(scores.argmax(dim=-1))  # [b p], the first index on ties
        one_hot = F.one_hot(choice, self.max_loops).to(scores.dtype)
        if self.training:
            soft = scores.softmax(dim=-1)
            one_hot = one_hot - soft.detach() + soft
        return choice, one_hot.to(hidden.dtype)

    def depth_slices(self, hidden: torch.Tensor) -> torch.Tensor | None:
        """How much of each expert's slice the loops keep [b p expert]: all of it, unless an edit at its tap says less.

        None, which costs nothing, while nothing listens to that tap.
        """
        if not self.hook_depth_slices.listening:
            return None
        return self.hook_depth_slices(hidden.new_ones(*hidden.shape[:-1], self.slices))

    def depth_path(self, hidden, activations, choice, loop_probs) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
        """Y_depth [b p d], the state after the chosen number of loops, and what gives its c [b p f]; runs all loops."""
        states, written = self.all_loops(hidden, activations, self.depth_slices(hidden))
        if self.training:  # a sum over all states, for the straight-through gradient
            chosen = sum(p * state for p, state in zip(loop_probs.split(1, dim=-1), states, strict=True))
        else:
            chosen = torch.stack(states, dim=-2).take_along_dim(choice[..., None, None], dim=-2).squeeze(-2)
        return self.hook_depth_out(chosen), partial(units_until, loop_probs, written)

    @property
    def exits_early(self) -> bool:
        """Whether tokens may skip the loops that they did not choose: no gradient is needed, no inner tap used.

        Compiled and exported programs run all loops, since the shapes of an early exit depend on the data.
        """
        if torch.compiler.is_compiling():
            return False
        inside = ("hook_post", "hook_depth_state_", "hook_depth_out", "hook_width_out", "hook_expert_out")
        tapped = any(tap.listening for name, tap in self.named_children() if name.startswith(inside))
        return not (tapped or self.training or torch.is_grad_enabled())

    def early_exit(self, hidden, choice, gate=None, expert_share=None) -> torch.Tensor:
        """Y [b p d] of both paths, with each token computing only the loops that it chose (early exit).

        The down-projection of a token's last loop is linear, so the width path is merged into it at no cost:
            Y = (1 - lambda) * H(loops - 1) + lambda * H
                + W_out * [(1 - lambda) * a(H(loops - 1)) + lambda * share * a(H)]
        with a(h) the hidden units and share the weight of each unit's expert. Without `gate` [b p 1] (lambda)
        and `expert_share` [b p expert] it is Y_depth = H(loops).
        """
        order = choice.flatten().argsort(descending=True, stable=True)  # tokens that continue come first
        exits_after = torch.bincount(choice.flatten(), minlength=self.max_loops).tolist()  # tokens by their last loop
        output = hidden.flatten(0, -2)[order]  # H, replaced by Y for tokens that have exited
        if gate is not None:
            gate = gate.flatten(0, -2)[order]
            wide, deep = gate.clamp_min(0), 1 - gate  # lambda <= 0: the width path does not run
            wide_slices = wide * expert_share.flatten(0, -2)[order]
        slices = self.depth_slices(hidden)
        if slices is not None:
            slices = slices.flatten(0, -2)[order]
        state, wide_units = output, None
        for count in exits_after:
            remaining = len(state) - count
            leaving = slice(remaining, len(state))
            units = swiglu_(self.up_gate_proj(self.norm(state)))
            residual = state[leaving]
            if gate is not None and wide_units is None:
                wide_units = weigh_slices(units, wide_slices)  # lambda * share * a(H)
            if slices is not None:
                units = weigh_slices(units, slices[: len(state)])
            if gate is not None:
                units[leaving].mul_(deep[leaving]).add_(wide_units[leaving])
                residual = deep[leaving] * residual + wide[leaving] * output[leaving]
            step = self.down_proj(units)
            del units  # frees memory before the next loop
            output[leaving] = residual + step[leaving]
            if remaining == 0:
                break
            state = state[:remaining] + step[:remaining]
        return output[order.argsort()].view_as(hidden)


class DepthFFN(DepthPath):
    """The depth path alone: Y = Y_depth."""

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        choice, loop_probs = self.choose_loops(hidden)
        if self.exits_early:
            return self.early_exit(hidden, choice)
        depth_out, units = self.depth_path(hidden, self.hook_post_1(self.activations(hidden)), choice, loop_probs)
        return self.seen_whole(hidden, depth_out, units)


class RoutedFFN(DenseFFN):
    """A router, which reads the un-normalised H, chooses the top-k experts; expert e is the e-th slice of hidden units.

    The slices are disjoint and cover all units, so the weighted sum of experts is one down-projection of weighted
    units. The experts are virtual: slices of f itself.
    """

    def __init__(self, config: VersatileFFNConfig):
        super().__init__(config)
        self.num_experts, self.top_k = config.num_experts, config.num_experts_per_tok
        self.router = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.hook_router_logits, self.hook_expert_indices, self.hook_expert_weights = Tap(), Tap(), Tap()
        self.hook_expert_out = Tap()

    @property
    def expert_down(self) -> nn.Linear:
        """The down-projection whose columns are divided among the experts."""
        return self.down_proj

    def choose_experts(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices and weights [b p k] of the top-k experts, best first; the weights are a softmax over these k."""
        logits = self.hook_router_logits(self.router(hidden))  # [b p expert]
        top_logits, indices = logits.topk(self.top_k, dim=-1)
        indices = self.hook_expert_indices(indices)
        return indices, self.hook_expert_weights(weights_among(top_logits))

    def expert_share(self, indices: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The weights by expert [b p expert]; 0 for experts that were not chosen."""
        return weights.new_zeros(*weights.shape[:-1], self.num_experts).scatter(-1, indices, weights)

    def expert_outputs(self, activations: torch.Tensor) -> torch.Tensor:
        """f_e(H) of every expert, without the residual [b p expert d]; their sum over virtual experts is f(H)."""
        slices = activations.unflatten(-1, (self.num_experts, -1))  # [b p expert s]
        if type(self.expert_down) is not nn.Linear:  # an adapter is on it: its weight is not all that it does
            return self.expert_down(each_alone(slices))
        return torch.einsum("bpes,des->bped", slices, self.expert_down.weight.unflatten(-1, (self.num_experts, -1)))

    def expert_sum(self, activations, indices, weights) -> torch.Tensor:
        """sum_k w_k f_{e_k}(H) [b p d]; single experts are computed only if their tap is used."""
        if self.hook_expert_out.listening:
            outputs = self.hook_expert_out(self.expert_outputs(activations))  # [b p expert d]
            return (weights[..., None] * outputs.take_along_dim(indices[..., None], dim=-2)).sum(dim=-2)
        return self.expert_down(weigh_slices(activations, self.expert_share(indices, weights)))


class MoEFFN(RoutedFFN):
    """f for every token plus top-k real experts: Y = H + f(H) + sum_k w_k g_{e_k}(H).

    The experts are slices of a second FFN g of the same size, with the same norm. All slices are computed, and those
    not chosen have weight 0: simple, not fast. `hook_post` shows the units of f alone.
    """

    def __init__(self, config: VersatileFFNConfig):
        super().__init__(config)
        self.expert_up_gate_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.expert_down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    @property
    def expert_down(self) -> nn.Linear:
        return self.expert_down_proj

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        activations = swiglu(self.expert_up_gate_proj(self.norm(hidden)))  # [b p f] of the experts
        return super().output(hidden) + self.expert_sum(activations, *self.choose_experts(hidden))


class WidthPath(RoutedFFN):
    """Y_width = H + sum_k w_k f_{e_k}(H) over the virtual experts."""

    def __init__(self, config: VersatileFFNConfig):
        super().__init__(config)
        self.hook_width_out = Tap()

    def width_path(self, hidden, activations, indices, weights) -> torch.Tensor:
        """Y_width [b p d] of every token."""
        return hidden + self.expert_sum(activations, indices, weights)


class WidthFFN(WidthPath):
    """The width path plus one pass through the whole FFN: Y = f(H) + Y_width."""

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        activations, chosen = self.activations(hidden), self.choose_experts(hidden)
        if self.hook_width_out.listening or self.hook_expert_out.listening:
            output = self.down_proj(activations) + self.hook_width_out(self.width_path(hidden, activations, *chosen))
            return self.seen_whole(hidden, output, lambda: weigh_slices(activations, 1 + self.expert_share(*chosen)))
        return hidden + self.down_proj(self.hook_post(weigh_slices(activations, 1 + self.expert_share(*chosen))))


class AverageFFN(DepthPath, WidthPath):
    """Both paths with equal weight for every token: Y = (Y_width + Y_depth) / 2."""

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        choice, loop_probs = self.choose_loops(hidden)
        chosen = self.choose_experts(hidden)
        if self.exits_early:
            half = torch.full_like(hidden[..., :1], 0.5)
            return self.early_exit(hidden, choice, half, self.expert_share(*chosen))
        activations = self.hook_post_1(self.activations(hidden))
        depth_out, units = self.depth_path(hidden, activations, choice, loop_probs)
        output = (self.hook_width_out(self.width_path(hidden, activations, *chosen)) + depth_out) / 2
        return self.seen_whole(
            hidden, output, lambda: (weigh_slices(activations, self.expert_share(*chosen)) + units()) / 2
        )


class VersatileFFN(DepthPath, WidthPath):
    """Both paths mixed by lambda: the fewer loops a token takes, the larger the share of its width path."""

    def __init__(self, config: VersatileFFNConfig):
        super().__init__(config)
        self.hook_lambda = Tap()

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        choice, loop_probs = self.choose_loops(hidden)
        loops = torch.arange(1, self.max_loops + 1, device=hidden.device, dtype=hidden.dtype)
        # Not detached: in training lambda carries the straight-through gradient to the depth head.
        gate = self.hook_lambda(width_share(loop_probs @ loops[:, None], self.max_loops))  # [b p 1]
        chosen = self.choose_experts(hidden)
        if self.exits_early:
            return self.early_exit(hidden, choice, gate, self.expert_share(*chosen))
        activations = self.hook_post_1(self.activations(hidden))  # [b p f], shared by loop 1 and the width path
        depth_out, units = self.depth_path(hidden, activations, choice, loop_probs)
        width_out = self.width_path(hidden, activations, *chosen)
        if not self.training:
            width_out = torch.where(gate > 0, width_out, 0)  # 0 where the width path does not run
        output = gate * self.hook_width_out(width_out) + (1 - gate) * depth_out

        def both() -> torch.Tensor:
            wide = gate if self.training else gate.clamp_min(0)
            return weigh_slices(activations, wide * self.expert_share(*chosen)) + (1 - gate) * units()

        return self.seen_whole(hidden, output, both)


FFN = {
    "dense": DenseFFN,
    "k_loop": LoopFFN,
    "moe": MoEFFN,
    "width": WidthFFN,
    "depth": DepthFFN,
    "average": AverageFFN,
    "versatile": VersatileFFN,
}
"""The `ffn` field of a configuration -> the layer it builds."""

__all__ = ["FFN", "DenseFFN", "DepthPath", "LoopFFN", "RoutedFFN", "VersatileFFN", "WidthPath"]
