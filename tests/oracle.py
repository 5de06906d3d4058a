"""A slow reference of the versatile FFN, token by token, written from the paper's equations.

Shares nothing with the model but its weights and its norm module: plain loops over tokens, loops and experts, no taps,
no merging of paths, no skipping.
"""

import torch


class OracleFFN(torch.nn.Module):
    """Stands in for a `VersatileFFN` in eval mode, or in training mode with given Gumbel noise [batch, token, loop]."""

    def __init__(self, ffn, noise: torch.Tensor | None = None):
        super().__init__()
        self.norm, self.noise, self.tau = ffn.norm, noise, float(ffn.tau)
        self.top_k, self.max_loops = ffn.top_k, ffn.max_loops
        self.w_proj, self.w_out = ffn.up_gate_proj.weight, ffn.down_proj.weight
        self.w_gate, self.w_loop = ffn.router.weight, ffn.depth_head.weight

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        rows = []
        for batch, sequence in enumerate(hidden):
            for position, token in enumerate(sequence):
                rows.append(self.token(token, None if self.noise is None else self.noise[batch, position]))
        return torch.stack(rows).view_as(hidden)

    def token(self, h: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Y of one token [d] from its H [d]."""
        states = [h]
        for _ in range(self.max_loops):
            states.append(states[-1] + self.shared_ffn(states[-1]))
        probs = self.loop_probs(h, noise)
        y_depth = sum(p * state for p, state in zip(probs, states[1:], strict=True))
        expected_loops = sum(loop * p for loop, p in enumerate(probs, start=1))
        gate = (self.max_loops - expected_loops) / self.max_loops
        return gate * self.width(h) + (1 - gate) * y_depth

    def loop_probs(self, h: torch.Tensor, noise: torch.Tensor | None) -> list[torch.Tensor]:
        """One-hot choice of loops; with noise straight-through, so that its gradient is the soft choice's."""
        scores = [row @ h for row in self.w_loop]
        if noise is not None:
            scores = [(score + g) / self.tau for score, g in zip(scores, noise, strict=True)]
        best = max(range(self.max_loops), key=lambda loop: scores[loop].item())
        hard = [h.new_tensor(float(loop == best)) for loop in range(self.max_loops)]
        if noise is None:
            return hard
        total = sum(score.exp() for score in scores)
        soft = [score.exp() / total for score in scores]
        return [one - p.detach() + p for one, p in zip(hard, soft, strict=True)]

    def width(self, h: torch.Tensor) -> torch.Tensor:
        """Y_width of one token: H plus its best experts, weighted by a softmax over their logits alone."""
        logits = [row @ h for row in self.w_gate]
        kept = sorted(range(len(logits)), key=lambda expert: -logits[expert].item())[: self.top_k]
        total = sum(logits[expert].exp() for expert in kept)
        return h + sum(logits[expert].exp() / total * self.expert(h, expert) for expert in kept)

    def expert(self, h: torch.Tensor, expert: int) -> torch.Tensor:
        """f_e(H): the FFN with only the hidden units [e*s, (e+1)*s) of virtual expert e."""
        size = self.w_out.shape[1] // self.w_gate.shape[0]
        return self.ffn_of_units(h, range(expert * size, (expert + 1) * size))

    def shared_ffn(self, h: torch.Tensor) -> torch.Tensor:
        """f(h) with all hidden units."""
        return self.ffn_of_units(h, range(self.w_out.shape[1]))

    def ffn_of_units(self, h: torch.Tensor, units: range) -> torch.Tensor:
        """Sum over hidden units of silu(gate) * value * output column; gates follow all values in the projection."""
        normed, width = self.norm(h), self.w_out.shape[1]
        total = torch.zeros_like(h)
        for unit in units:
            value, gate = self.w_proj[unit] @ normed, self.w_proj[width + unit] @ normed
            total = total + gate / (1 + (-gate).exp()) * value * self.w_out[:, unit]
        return total
