"""The hook point of TransformerLens that stands for a tap; importing this needs TransformerLens."""

from transformer_lens.hook_points import HookPoint

from sample_models.taps import Tap


class TracePoint(HookPoint, Tap):
    """A TransformerLens hook point that is a tap: its hooks may replace the tensor before anything else sees it."""


__all__ = ["TracePoint"]
