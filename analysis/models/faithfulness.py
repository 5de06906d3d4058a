"""Faithfulness: do the pages show what the model computed? Each finding is one measured number with its bound."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.explain.ledger import TOLERANCE, layer_ledger
from analysis.explain.near_miss import expert_margin
from analysis.recursion import depth_margin
from analysis.words.numbers import significant
from hooks.faithfulness_record import Faithfulness, OtherRun
from hooks.path_trace import PathTrace
from hooks.trace import RoutingTrace

Verdict = Literal["exact", "rounding", "not faithful"]


@dataclass(frozen=True)
class Finding:
    """One comparison and its verdict."""

    name: str
    verdict: Verdict
    figure: str
    """The measured number with its bound, in words."""
    meaning: str


def findings(measured: Faithfulness, paths: PathTrace) -> list[Finding]:
    """All comparisons for one model and text; `paths` are those that the Explain pages draw."""
    return [
        _nothing_changed(
            "hooks change nothing",
            measured.unhooked_gap,
            "The model as the pages run it, compared bit for bit with the same weights without hooks.",
        ),
        _nothing_changed(
            "setting its own exits changes nothing",
            measured.forced_gap,
            "Every token was made to exit every layer after the loops that it chose, as the lens sets other loops.",
        ),
        _layers(measured, paths),
        _run(
            measured,
            measured.readable,
            "fast path and readable path agree",
            "The pages read the fast path, which merges sums. Here every path was computed in full and on its own.",
        ),
        _run(
            measured,
            measured.batched,
            "alone and in a batch agree",
            "The text ran once more in a batch with a longer one, padded at its end, as lists of texts do.",
        ),
        _ledger(paths),
    ]


def is_faithful(results: list[Finding]) -> bool:
    """Whether all findings are within their bounds."""
    return all(finding.verdict != "not faithful" for finding in results)


def summary(results: list[Finding]) -> str:
    """One line: faithful, or the names of the findings that are not."""
    if is_faithful(results):
        return "Faithful: what is shown is what the model computed, up to rounding."
    failed = ", ".join(finding.name for finding in results if finding.verdict == "not faithful")
    return f"Not faithful. What failed: {failed}. Do not trust what is shown of this model."


def provenance(trace: RoutingTrace) -> dict[str, str]:
    """Where the numbers come from: model, weights, precision, text and versions, 'unknown' where a file does not say.

    The digests are SHA-256, that of the text over its UTF-8 bytes.
    """
    meta, text = trace.meta, trace.meta.get("text")
    versions = meta.get("versions")
    known = versions.items() if isinstance(versions, dict) else ()
    return {
        "model": str(meta.get("model") or "unknown"),
        "weights": str(meta.get("weights_sha256") or "unknown"),
        "precision": str(meta.get("dtype") or "unknown"),
        "text": _digest(text).hex() if text else "unknown",
        "versions": ", ".join(f"{name} {number}" for name, number in known) or "unknown",
    }


def digest_of_texts(texts: Iterable[str]) -> str:
    """SHA-256 over the SHA-256 digests of the texts in their order."""
    return hashlib.sha256(b"".join(map(_digest, texts))).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _nothing_changed(name: str, gap: float, meaning: str) -> Finding:
    """The finding of two runs whose logits must be equal bit for bit."""
    verdict = "exact" if gap == 0 else "not faithful"
    return Finding(name, verdict, f"largest difference of a logit {significant(gap, 2)}, must be 0", meaning)


def _layers(measured: Faithfulness, paths: PathTrace) -> Finding:
    missing = sorted(set(range(measured.layers)) - (set(measured.captured) & set(paths.layers.tolist())))
    lost = f"; missing: {', '.join(map(str, missing))}" if missing else ""
    return Finding(
        "every layer was captured",
        "not faithful" if missing else "exact",
        f"{measured.layers - len(missing)} of {measured.layers} layers{lost}",
        "Layers whose routing and paths were recorded, compared with those that the configuration names.",
    )


def _run(measured: Faithfulness, other: OtherRun, name: str, meaning: str) -> Finding:
    """The finding of another run, whose logits and choices must be the same.

    A choice that was a tie up to rounding may differ, and so may everything that follows from it.
    """
    trace, allowed = measured.trace, TOLERANCE[measured.trace.meta.get("dtype", "float32")]
    loops = trace.loops != other.trace.loops
    both = trace.width_ran & other.trace.width_ran
    chosen, others = (np.sort(routing.expert_ids, axis=-1) for routing in (trace, other.trace))
    experts = both & (chosen != others).any(axis=-1)
    bound = allowed * max(measured.largest_logit, 1.0)
    figure = (
        f"largest difference of a logit {significant(other.gap, 2)}, allowed {significant(bound, 2)}; other loops in "
        f"{loops.sum():,} of {loops.size:,} choices, other experts in {experts.sum():,} of {both.sum():,}"
    )
    if not (loops | experts).any():
        verdict = "exact" if other.gap == 0 else "rounding" if other.gap <= bound else "not faithful"
        return Finding(name, verdict, figure, meaning)
    # In higher layers a choice may differ because of those below, so only the lowest layer that differs is judged.
    lowest = int((loops | experts).any(axis=1).argmax())
    margins = np.concatenate(
        [depth_margin(trace)[lowest][loops[lowest]], expert_margin(trace)[lowest][experts[lowest]]]
    )
    widest, logits = float(margins.max()), (trace.depth_logits[lowest], trace.expert_logits[lowest])
    allowed *= max(1.0, *(float(np.abs(each).max()) for each in logits))  # rounding grows with the logits
    figure += f"; widest margin of those in layer {lowest}, the lowest: {significant(widest, 2)}"
    figure += f", allowed {significant(allowed, 1)}"
    return Finding(name, "rounding" if widest <= allowed else "not faithful", figure, meaning)


def _ledger(paths: PathTrace) -> Finding:
    ledgers = [layer_ledger(paths, layer) for layer in paths.layers.tolist()]
    residual, allowed = (np.concatenate([getattr(each, of) for each in ledgers]) for of in ("residual", "allowed"))
    at = int(np.argmax(residual / allowed))
    shown = (
        "" if paths.num_tokens == paths.routing.num_tokens else f", tokens {paths.first_token}-{paths.end_token - 1}"
    )
    return Finding(
        "writes sum to the update",
        "exact" if not residual.any() else "rounding" if residual[at] <= allowed[at] else "not faithful",
        f"largest residual {significant(residual[at], 2)} of the update{shown}, allowed {significant(allowed[at], 1)}",
        "The writes of all loops and experts of a layer, summed, compared with what the layer wrote into the residual "
        "stream. More is allowed where the stream is large beside what was written, since the whole stream is rounded.",
    )


__all__ = ["Finding", "digest_of_texts", "findings", "is_faithful", "provenance", "summary"]
