"""Instrumentation: a model and a text in, a `RoutingTrace` out. Torch stops here.

Names are resolved when first used, so that reading a trace never imports torch or TransformerLens.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hooks.attention import capture_attention
    from hooks.attention_trace import AttentionInputs, AttentionTrace, attention_bytes
    from hooks.attribution import logit_direction, remove_writes
    from hooks.bridge import to_bridge
    from hooks.capturing import capture
    from hooks.faithfulness import measure_faithfulness
    from hooks.faithfulness_record import Faithfulness, OtherRun
    from hooks.health import SickWeights, load_to_check, measure_health
    from hooks.health_record import HealthRecord, TextHealth
    from hooks.hook_points import HookedVersatileFFN, instrument
    from hooks.lens import recursion_lens
    from hooks.lens_trace import LensTrace
    from hooks.path_trace import PathTrace, path_bytes
    from hooks.paths import capture_paths
    from hooks.reading import Reading, read
    from hooks.rerun import OwnPass, own_pass, own_pass_bytes
    from hooks.slice_trace import SliceTrace
    from hooks.slices import loop_slices
    from hooks.timing import time_ffn
    from hooks.trace import RoutingTrace
    from hooks.training import capture_training
    from hooks.training_trace import TrainingTrace
    from sample_models.taps import HOOK_NAMES, edited, record

_HOME = {
    "Faithfulness": "hooks.faithfulness_record",
    "OtherRun": "hooks.faithfulness_record",
    "measure_faithfulness": "hooks.faithfulness",
    "AttentionInputs": "hooks.attention_trace",
    "AttentionTrace": "hooks.attention_trace",
    "attention_bytes": "hooks.attention_trace",
    "capture_attention": "hooks.attention",
    "RoutingTrace": "hooks.trace",
    "capture": "hooks.capturing",
    "PathTrace": "hooks.path_trace",
    "capture_paths": "hooks.paths",
    "path_bytes": "hooks.path_trace",
    "HealthRecord": "hooks.health_record",
    "SickWeights": "hooks.health",
    "TextHealth": "hooks.health_record",
    "load_to_check": "hooks.health",
    "measure_health": "hooks.health",
    "logit_direction": "hooks.attribution",
    "remove_writes": "hooks.attribution",
    "LensTrace": "hooks.lens_trace",
    "SliceTrace": "hooks.slice_trace",
    "loop_slices": "hooks.slices",
    "recursion_lens": "hooks.lens",
    "Reading": "hooks.reading",
    "read": "hooks.reading",
    "OwnPass": "hooks.rerun",
    "own_pass": "hooks.rerun",
    "own_pass_bytes": "hooks.rerun",
    "edited": "sample_models.taps",
    "instrument": "hooks.hook_points",
    "record": "sample_models.taps",
    "HOOK_NAMES": "sample_models.taps",
    "HookedVersatileFFN": "hooks.hook_points",
    "time_ffn": "hooks.timing",
    "to_bridge": "hooks.bridge",
    "TrainingTrace": "hooks.training_trace",
    "capture_training": "hooks.training",
}

__all__ = [
    "AttentionInputs",
    "AttentionTrace",
    "Faithfulness",
    "HOOK_NAMES",
    "HealthRecord",
    "HookedVersatileFFN",
    "LensTrace",
    "OtherRun",
    "OwnPass",
    "PathTrace",
    "Reading",
    "RoutingTrace",
    "SickWeights",
    "SliceTrace",
    "TextHealth",
    "TrainingTrace",
    "attention_bytes",
    "capture",
    "capture_attention",
    "capture_paths",
    "capture_training",
    "edited",
    "instrument",
    "load_to_check",
    "measure_faithfulness",
    "measure_health",
    "logit_direction",
    "loop_slices",
    "own_pass",
    "own_pass_bytes",
    "path_bytes",
    "read",
    "record",
    "recursion_lens",
    "time_ffn",
    "to_bridge",
    "remove_writes",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'hooks' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
