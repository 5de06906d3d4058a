"""Measurements of a family's runs on held-out documents: losses, paired differences, loops and FLOPs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from sample_models.configuration_versatile import VersatileFFNConfig
from sample_models.evaluate import Decisions, Difference, count_decisions, paired_difference, window_losses
from sample_models.family.runs import MEMBERS, Run
from sample_models.loading import load_model
from sample_models.text_data import document_windows

TIE = 2.0
"""A difference of fewer standard errors than this is called a tie."""
OPEN = "open (one seed)"
"""Verdict for a difference from one seed that is smaller than the range between seeds."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Measurements of one finished run on the held-out documents."""

    run: Run
    losses: np.ndarray
    """[document] next-token cross-entropy, nats per token."""
    parameters: int
    ffn_parameters: int
    config: VersatileFFNConfig
    decisions: Decisions | None
    """Decisions of its heads on the same windows; None for a model without heads."""

    @property
    def mean_loops(self) -> float:
        """Mean passes through the FFN over layers and tokens."""
        if self.decisions is not None and self.decisions.loop_counts is not None:
            counts = self.decisions.loop_counts
            return float((counts.sum(axis=0) @ np.arange(1, counts.shape[1] + 1)) / counts.sum())
        return float(self.config.max_loops) if self.config.ffn == "k_loop" else 1.0

    @property
    def routed_share(self) -> float:
        """Share of tokens, over layers, that ran experts: 0 without a router, 1 without a gate."""
        if self.decisions is None or self.decisions.expert_counts is None:
            return 0.0
        return 1.0 - float(self.decisions.not_routed.mean()) if self.config.ffn == "versatile" else 1.0

    @property
    def ffn_flops(self) -> float:
        """FFN FLOPs per token, two per multiply-add, as the paper counts them: Base * N_mean + (MoE - Base) * P."""
        config = self.config
        base = config.num_hidden_layers * 2 * 3 * config.hidden_size * config.intermediate_size
        return base * (self.mean_loops + config.num_experts_per_tok / config.num_experts * self.routed_share)


def measure(folder: Path, run: Run, documents: int) -> Measured:
    """Measure a finished run on the first `context` tokens of each of up to `documents` of its held-out documents."""
    loaded = load_model(folder)
    tokens = np.memmap(folder / "valid.tokens", dtype=np.uint16, mode="r")
    context = loaded.config.max_position_embeddings
    windows = torch.from_numpy(document_windows(tokens, loaded.tokenizer.eos_token_id, documents, context))
    return Measured(
        run=run,
        losses=window_losses(loaded.model, windows),
        parameters=loaded.parameter_count,
        ffn_parameters=sum(p.numel() for layer in loaded.model.model.layers for p in layer.mlp.parameters()),
        config=loaded.config,
        decisions=None if loaded.config.ffn in ("dense", "k_loop") else count_decisions(loaded.model, windows),
    )


class Family:
    """All measured runs, by member and seed."""

    def __init__(self, runs: list[Measured]):
        self.by_member = {name: [m for m in runs if m.run.member == name] for name in MEMBERS}
        self.members = [name for name, measured in self.by_member.items() if measured]

    def losses(self, member: str) -> list[float]:
        """Mean loss over documents, by seed."""
        return [float(measured.losses.mean()) for measured in self.by_member[member]]

    def costs(self, member: str) -> tuple[float, float, float]:
        """Mean loops, routed share and FFN FLOPs per token, averaged over seeds."""
        runs = self.by_member[member]
        by_seed = [(measured.mean_loops, measured.routed_share, measured.ffn_flops) for measured in runs]
        return tuple(np.mean(by_seed, axis=0).tolist())

    def seeds(self, *members: str) -> list[int]:
        """Seeds with which all of these members were trained."""
        seeds = [{measured.run.seed for measured in self.by_member[member]} for member in members]
        return sorted(set.intersection(*seeds))

    @cached_property
    def widest(self) -> tuple[str, float] | None:
        """The member with the widest range of losses between seeds, and that range; None if no member has two seeds."""
        ranges = {name: max(losses) - min(losses) for name in self.members if len(losses := self.losses(name)) > 1}
        return max(ranges.items(), key=lambda item: item[1]) if ranges else None

    def _of_seed(self, member: str, seed: int) -> np.ndarray:
        return next(measured.losses for measured in self.by_member[member] if measured.run.seed == seed)

    def by_seed(self, member: str, other: str) -> list[float]:
        """Loss of `member` minus loss of `other`, for each seed that both have."""
        pairs = [(self._of_seed(member, s), self._of_seed(other, s)) for s in self.seeds(member, other)]
        return [float((own - control).mean()) for own, control in pairs]

    def difference(self, member: str, other: str) -> Difference:
        """Loss of `member` minus loss of `other`, paired by document and averaged over the seeds that both have.

        The standard error is over documents only and does not include the variation between seeds (see `verdict`).
        """
        seeds = self.seeds(member, other)
        own, control = (np.mean([self._of_seed(name, seed) for seed in seeds], axis=0) for name in (member, other))
        return paired_difference(own, control)

    def verdict(self, member: str, other: str) -> str:
        """Verdict on their difference. With a single seed it must exceed the widest known range between seeds."""
        if len(self.seeds(member, other)) > 1:
            return verdict(self.difference(member, other))
        return verdict(self.difference(member, other), self.widest[1] if self.widest else np.inf)


def verdict(difference: Difference, seed_range: float = 0.0) -> str:
    """OPEN below the range between seeds, 'tie' below two standard errors, else 'better' (smaller loss) or 'worse'."""
    if abs(difference.mean) < seed_range:
        return OPEN
    if abs(difference.mean) < TIE * difference.standard_error:
        return "tie"
    return "better" if difference.mean < 0 else "worse"
