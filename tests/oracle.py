"""A slow reference of the paper's family of FFNs, token by token, written from its equations.

It shares only the weights with the model: plain loops over tokens, loops, experts and hidden units, no taps, no merged
paths, no early exit.
"""

import torch


class OracleFFN(torch.nn.Module):
    """A replacement for the FFN `kind` in eval mode or, given Gumbel noise [batch, token, loop], in training mode."""

    def __init__(self, ffn, kind: str = "versatile", noise: torch.Tensor | None = None):
        super().__init__()
        self.rule, self.noise = getattr(self, kind), noise
        self.weights = dict(ffn.named_parameters())
        self.w_proj, self.w_out = self.weights["up_gate_proj.weight"], self.weights["down_proj.weight"]
        self.top_k, self.max_loops = getattr(ffn, "top_k", None), getattr(ffn, "max_loops", None)
        self.tau = float(getattr(ffn, "tau", 1.0))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        rows = []
        for batch, sequence in enumerate(hidden):
            for position, token in enumerate(sequence):
                self.token_noise = None if self.noise is None else self.noise[batch, position]
                rows.append(self.rule(token))
        return torch.stack(rows).view_as(hidden)

    # The family: Y of one token [d] from its H [d] ------------------------------------------------------------------

    def dense(self, h):
        return h + self.shared_ffn(h)

    def k_loop(self, h):
        return self.states(h)[-1]

    def depth(self, h):
        return sum(p * state for p, state in zip(self.loop_probs(h), self.states(h)[1:], strict=True))

    def width(self, h):
        return h + self.shared_ffn(h) + sum(w * self.virtual_expert(h, expert) for expert, w in self.experts(h))

    def moe(self, h):
        return h + self.shared_ffn(h) + sum(w * self.real_expert(h, expert) for expert, w in self.experts(h))

    def average(self, h):
        return (self.y_width(h) + self.depth(h)) / 2

    def versatile(self, h):
        expected_loops = sum(loop * p for loop, p in enumerate(self.loop_probs(h), start=1))
        gate = (self.max_loops - expected_loops) / self.max_loops
        return gate * self.y_width(h) + (1 - gate) * self.depth(h)

    # Their parts ------------------------------------------------------------------------------------------------------

    def y_width(self, h):
        return h + sum(w * self.virtual_expert(h, expert) for expert, w in self.experts(h))

    def states(self, h):
        """H(0) to H(max_loops)."""
        states = [h]
        for _ in range(self.max_loops):
            states.append(states[-1] + self.shared_ffn(states[-1]))
        return states

    def loop_probs(self, h):
        """One-hot choice of loops; with noise straight-through, so that its gradient is the soft choice's."""
        scores = [row @ h for row in self.weights["depth_head.weight"]]
        if self.token_noise is not None:
            scores = [(score + g) / self.tau for score, g in zip(scores, self.token_noise, strict=True)]
        best = max(range(self.max_loops), key=lambda loop: scores[loop].item())
        hard = [h.new_tensor(float(loop == best)) for loop in range(self.max_loops)]
        if self.token_noise is None:
            return hard
        total = sum(score.exp() for score in scores)
        soft = [score.exp() / total for score in scores]
        return [one - p.detach() + p for one, p in zip(hard, soft, strict=True)]

    def experts(self, h):
        """The best experts, each with its weight: a softmax over their logits alone."""
        logits = [row @ h for row in self.weights["router.weight"]]
        chosen = sorted(range(len(logits)), key=lambda expert: -logits[expert].item())[: self.top_k]
        total = sum(logits[expert].exp() for expert in chosen)
        return [(expert, logits[expert].exp() / total) for expert in chosen]

    def virtual_expert(self, h, expert):
        """f_e(H): the FFN with only the hidden units of expert e."""
        return self.ffn_of_units(h, self.units(expert), self.w_proj, self.w_out)

    def real_expert(self, h, expert):
        """g_e(H): an expert with weights of its own."""
        proj, out = self.weights["expert_up_gate_proj.weight"], self.weights["expert_down_proj.weight"]
        return self.ffn_of_units(h, self.units(expert), proj, out)

    def units(self, expert):
        """Expert e owns the units [e*s, (e+1)*s)."""
        size = self.w_out.shape[1] // len(self.weights["router.weight"])
        return range(expert * size, (expert + 1) * size)

    def shared_ffn(self, h):
        """f(h) with all hidden units."""
        return self.ffn_of_units(h, range(self.w_out.shape[1]), self.w_proj, self.w_out)

    def ffn_of_units(self, h, units, proj, out):
        """Sum over hidden units of silu(gate) * value * output column; gates follow all values in the projection."""
        normed, width = self.weights["norm.weight"] * h / (h.square().mean() + 1e-6).sqrt(), out.shape[1]
        total = torch.zeros_like(h)
        for unit in units:
            value, gate = proj[unit] @ normed, proj[width + unit] @ normed
            total = total + gate / (1 + (-gate).exp()) * value * out[:, unit]
        return total
