"""Runs the models for the page Compare: a second trace beside that of the text, paraphrases, and transplants."""

from dataclasses import dataclass

from analysis.compare.pair import Flips, TracePair
from analysis.compare.texts import paraphrase_flips, paraphrase_texts
from analysis.figures.figure_pair import FigurePair
from app.server import models
from app.server.captures import Interventions, cached, trace_at_step, trace_of, traces_of
from hooks.trace import RoutingTrace
from hooks.transplant_trace import TransplantTrace


@dataclass(frozen=True)
class Read:
    """A text as a model reads it, at a step of its training if one is named, under interventions."""

    model: str
    text: str
    interventions: Interventions = ()
    step: int | None = None

    def trace(self) -> RoutingTrace:
        """Its trace."""
        if self.step is None:
            return trace_of(self.model, self.text, self.interventions)
        return trace_at_step(self.model, self.text, self.step, self.interventions)

    def loaded(self):
        """Its model."""
        return models.loaded_model(self.model) if self.step is None else models.load(self.model, step=self.step)


@cached(16, "Setting B beside the text")
def pair_of(a: Read, b: Read, null: tuple[Flips, ...]) -> TracePair:
    """Two traces beside each other; no model is needed if both are known."""
    return TracePair(a.trace(), b.trace(), null)


@cached(16, "Setting B beside the text")
def figure_pair_of(a: Read, b: Read, figure: str, option: str) -> FigurePair:
    """A figure of one trace, of both."""
    return FigurePair(pair_of(a, b, ()), figure, option)


@cached(8, "Reading the paraphrases")
def paraphrases_of(model_name: str) -> tuple[Flips, ...]:
    """Flips in all pairs of paraphrases; none for a model that cannot read them."""
    traces = traces_of(model_name, paraphrase_texts())
    return paraphrase_flips(traces) if all(isinstance(each, RoutingTrace) for each in traces) else ()


@cached(8, "Exchanging the routing")
def transplants_of(a: Read, b: Read) -> TransplantTrace:
    """Each text with the routing of the other. ValueError if it cannot be exchanged."""
    from hooks import transplant_routing

    return transplant_routing(a.loaded(), a.trace(), b.trace(), loaded_b=b.loaded())


__all__ = ["Read", "figure_pair_of", "pair_of", "paraphrases_of", "transplants_of"]
