"""The experts of a layer's tokens and their weights, while interventions change them.

Shapes: b batch, p token position, k rank among the chosen experts, `expert` all experts.
"""

import torch

from sample_models.interventions import DropExpert, ForceExperts, ForceTopK, UseRouting
from sample_models.units import at_least_float32, weights_among

Force = ForceExperts | ForceTopK | UseRouting


class ExpertChoice:
    """Which experts every token has, and their weights."""

    share: torch.Tensor
    """Weights [b p expert]; 0 for experts that a token does not have."""
    weights: torch.Tensor
    """[b p k] of the experts that `best` gave."""

    def __init__(self, logits: torch.Tensor, chosen: torch.Tensor, *, over_all: bool = False):
        """From the router's logits [b p expert] and the model's own experts [b p k], best first.

        `over_all`: an expert's weight is its probability among all experts, and not among those of the token.
        """
        self.logits, self.chosen, self.over_all = logits, chosen, over_all
        self.own_weights = self._weights(chosen)
        self.share, self.member = self._spread(chosen, self.own_weights)
        self.own_share, self.gone = self.share, torch.zeros_like(self.member)

    def force(self, force: Force, here: torch.Tensor, positions: torch.Tensor, layer: int) -> None:
        """Give the tokens `here` [b p] the experts of a force."""
        if isinstance(force, UseRouting):
            ids, weights = self._of_routing(force, positions, layer)
        elif isinstance(force, ForceTopK):
            top = self.logits.topk(force.k, dim=-1)
            ids = top.indices
            weights = self._weights(ids) if force.weights == "renormalised" else self._kept(ids)
        else:
            ids, weights = self._forced(force)
        share, member = self._spread(ids, weights)
        self.share = torch.where(here[..., None], share, self.share)
        self.member = torch.where(here[..., None], member, self.member)

    def drop(self, drop: DropExpert, here: torch.Tensor) -> None:
        """Take an expert from the tokens `here` [b p] that have it."""
        expert = drop.expert
        hit = (here & self.member[..., expert])[..., None]
        self.gone = self.gone.clone()
        self.gone[..., expert] |= here
        lost, before = self.share[..., expert, None], self.share.sum(dim=-1, keepdim=True)
        member, share = self.member.clone(), self.share.clone()
        member[..., expert], share[..., expert] = False, 0
        if drop.then == "repick":
            candidates = self.logits.masked_fill(self.member | self.gone, -torch.inf)
            best = candidates.max(dim=-1, keepdim=True)
            member = member.scatter(-1, best.indices, (best.values > -torch.inf) | member.gather(-1, best.indices))
            scores = at_least_float32(self.logits)
            if self.over_all:
                share = torch.where(member, scores.softmax(dim=-1).to(share.dtype), 0)
            else:
                scores = scores.masked_fill(~member, -torch.inf)
                share = scores.softmax(dim=-1).nan_to_num(0).to(share.dtype)  # not a number where no expert is left
        elif drop.then == "renormalised":
            left = share.sum(dim=-1, keepdim=True)
            share = torch.where(left > 0, share * before / left, share)
        elif drop.then == "mean":
            member = ~self.gone
            share = share + torch.where(member, lost / member.sum(dim=-1, keepdim=True).clamp_min(1), 0)
        self.share = torch.where(hit, share, self.share)
        self.member = torch.where(hit, member, self.member)

    def scale(self, factor: torch.Tensor) -> None:
        """Multiply the weights of every token by a factor [b p]."""
        self.share = self.share * factor[..., None]

    def best(self, count: int) -> torch.Tensor:
        """The `count` experts of every token with the largest weights [b p count]; sets `weights`.

        Experts of equal weight are in the order of the model's own choice, then of the logits, so that a token whose
        weights were not changed has its experts in the model's own order.
        """
        order = self.logits.argsort(dim=-1, descending=True, stable=True)
        places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
        rank = torch.empty_like(order).scatter(-1, order, places)
        first = torch.arange(-self.chosen.shape[-1], 0, device=order.device).expand_as(self.chosen)
        order = rank.scatter(-1, self.chosen, first).argsort(dim=-1)
        by_weight = self.share.gather(-1, order).argsort(dim=-1, descending=True, stable=True)
        ids = order.gather(-1, by_weight)[..., :count]
        self.weights = self.share.gather(-1, ids)
        return ids

    def _weights(self, ids: torch.Tensor) -> torch.Tensor:
        """Weights [b p k] that the model gives the experts `ids` [b p k], best first."""
        if self.over_all:
            return at_least_float32(self.logits).softmax(dim=-1).gather(-1, ids).to(self.logits.dtype)
        return weights_among(self.logits.gather(-1, ids))

    def _spread(self, ids: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights by expert [b p expert], and which experts these are."""
        zeros = torch.zeros_like(self.logits)
        return zeros.scatter(-1, ids, weights), zeros.bool().scatter(-1, ids, True)

    def _forced(self, force: ForceExperts) -> tuple[torch.Tensor, torch.Tensor]:
        ids = torch.tensor(force.experts, device=self.logits.device).expand(*self.logits.shape[:-1], -1)
        if force.weights == "kept":
            return ids, self._kept(ids)
        if force.weights == "renormalised":  # best first: the sum of a softmax runs as that of the model's own choice
            scores = self.logits.gather(-1, ids)
            order = scores.argsort(dim=-1, descending=True, stable=True)
            ids = ids.gather(-1, order)
            return ids, self._weights(ids)
        return ids, torch.tensor(force.weights, dtype=self.logits.dtype, device=ids.device).expand_as(ids)

    def _kept(self, ids: torch.Tensor) -> torch.Tensor:
        """exp(z_e) / sum of exp(z) over the model's own experts, for the experts `ids` [b p k]."""
        if self.over_all:
            return self._weights(ids)
        own = at_least_float32(self.logits.gather(-1, self.chosen))
        shares = (at_least_float32(self.logits) - own.logsumexp(dim=-1, keepdim=True)).exp().to(self.logits.dtype)
        chosen = torch.zeros_like(self.member).scatter(-1, self.chosen, True)
        return torch.where(chosen, self.own_share, shares).gather(-1, ids)

    def _of_routing(self, force: UseRouting, positions: torch.Tensor, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        ids, weights = (
            torch.tensor(values[layer], device=positions.device)[positions.clamp(0, len(values[layer]) - 1)].expand(
                *self.logits.shape[:-1], -1
            )
            for values in (force.routing.expert_ids, force.routing.expert_weights)
        )
        return ids, weights.to(self.logits.dtype)


__all__ = ["ExpertChoice"]
