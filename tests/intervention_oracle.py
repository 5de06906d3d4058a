"""A slow reference of interventions, token by token, written from the equations in their docstrings.

It replaces every FFN of a copy of a model. Of the program's own it uses the fields of the interventions alone.
"""

import copy

import torch

from sample_models.interventions import DropExpert, DropPath, ForceExperts, ForceGate, ForceLoops, ForceTopK, UseRouting
from tests.oracle import OracleFFN


def oracle_model(model, interventions, positions=None):
    """A copy of the model whose FFNs are `IntervenedFFN`; `positions` [token] in the text, 0.. without them."""
    model = copy.deepcopy(model)
    for layer, block in enumerate(model.model.layers):
        here = [each for each in interventions if each.layers is None or layer in each.layers]
        block.mlp = IntervenedFFN(block.mlp, layer, here, positions)
    return model


class IntervenedFFN(OracleFFN):
    """Y = H + (1 - lambda) sum D_l + lambda sum w_e f_e(H), with whatever the interventions put into it."""

    def __init__(self, ffn, layer, interventions, positions):
        super().__init__(ffn)
        self.layer, self.interventions, self.positions = layer, interventions, positions

    def forward(self, hidden):
        rows = []
        for sequence in hidden:
            for place, h in enumerate(sequence):
                self.token = place if self.positions is None else self.positions[place]
                rows.append(self.intervened(h))
        return torch.stack(rows).view_as(hidden)

    def of(self, *kinds):
        return [
            each
            for each in self.interventions
            if isinstance(each, kinds) and (each.tokens is None or self.token in each.tokens)
        ]

    def intervened(self, h):
        z = [float(row @ h) for row in self.weights["router.weight"]]
        own = sorted(range(len(z)), key=lambda expert: -z[expert])[: self.top_k]
        scores = [float(row @ h) for row in self.weights["depth_head.weight"]]
        loops = scores.index(max(scores)) + 1
        gate, weights = self.share(loops), softmax(z, own)
        for force in self.of(ForceLoops, ForceGate, ForceExperts, ForceTopK, UseRouting):
            loops, gate, weights = self.forced(force, loops, gate, weights, z, own)
        gone, in_loops = set(), set()
        for drop in self.of(DropExpert):
            if drop.path != "width":
                in_loops.add(drop.expert)
            if drop.path != "depth":
                gone.add(drop.expert)
                if drop.expert in weights:
                    weights = without(weights, drop, gone, z)
        depth, width = (
            self.steps(h, loops, in_loops),
            sum((w * self.virtual_expert(h, e) for e, w in weights.items()), torch.zeros_like(h)),
        )
        return h + self.mixed(gate, depth, width)

    def forced(self, force, loops, gate, weights, z, own):
        if isinstance(force, ForceLoops):
            return force.loops, gate if force.gate == "held" else self.share(force.loops), weights
        if isinstance(force, ForceGate):
            return loops, force.gate, weights
        if isinstance(force, UseRouting):
            used, at = force.routing, (self.layer, self.token)
            if "loops" in force.parts:
                loops = int(used.loops[at])
                gate = self.share(loops)
            if "gate" in force.parts:
                gate = float(used.gate[at])
            if "experts" in force.parts:
                weights = dict(zip(used.expert_ids[at].tolist(), used.expert_weights[at].tolist(), strict=True))
            return loops, gate, weights
        chosen = (
            force.experts if isinstance(force, ForceExperts) else sorted(range(len(z)), key=lambda e: -z[e])[: force.k]
        )
        if force.weights == "renormalised":
            weights = softmax(z, chosen)
        elif force.weights == "kept":
            total = sum(exp(z[e]) for e in own)
            weights = {e: exp(z[e]) / total for e in chosen}
        else:
            weights = dict(zip(chosen, force.weights, strict=True))
        return loops, gate, weights

    def mixed(self, gate, depth, width):
        """What both paths add to H."""
        dropped = {drop.path: drop.other for drop in self.of(DropPath)}
        if dropped.keys() == {"width", "depth"}:
            return 0 * depth
        if "width" in dropped:
            return depth if dropped["width"] == "renormalised" else (1 - gate) * depth
        if "depth" in dropped:
            return width if dropped["depth"] == "renormalised" else gate * width
        return (1 - gate) * depth + gate * width

    def steps(self, h, loops, without_experts):
        """H(loops) - H, every loop without some experts' slices."""
        experts = [e for e in range(len(self.weights["router.weight"])) if e not in without_experts]
        state, kept = h, [unit for expert in experts for unit in self.units(expert)]
        for _ in range(loops):
            state = state + self.ffn_of_units(state, kept, self.w_proj, self.w_out)
        return state - h

    def share(self, loops):
        return (self.max_loops - loops) / self.max_loops

    def ffn_of_units(self, h, units, proj, out):
        """As in the plain reference, all units at once, which is faster."""
        normed, width, rows = (
            self.weights["norm.weight"] * h / (h.square().mean() + 1e-6).sqrt(),
            out.shape[1],
            [*units],
        )
        value, gate = proj[rows] @ normed, proj[width:][rows] @ normed
        return out[:, rows] @ (gate / (1 + (-gate).exp()) * value)


def exp(number):
    return float(torch.tensor(number, dtype=torch.float64).exp())


def softmax(z, experts):
    total = sum(exp(z[e]) for e in experts)
    return {e: exp(z[e]) / total for e in experts}


def without(weights, drop, gone, z):
    """Weights by expert once `drop.expert` has left."""
    lost, others = weights[drop.expert], {e: w for e, w in weights.items() if e != drop.expert}
    if drop.then == "repick":
        free = [e for e in range(len(z)) if e not in weights and e not in gone]
        return softmax(z, [*others, *sorted(free, key=lambda e: -z[e])[:1]])
    if drop.then == "renormalised":
        total = sum(weights.values())
        return {e: w * total / (total - lost) for e, w in others.items()}
    if drop.then == "mean":
        left = [e for e in range(len(z)) if e not in gone]
        return {e: others.get(e, 0) + lost / len(left) for e in left}
    return others
