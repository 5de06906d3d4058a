"""The options of a distillation: each field is an option of the command, with its help."""

import argparse
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch


def option(default: Any, help: str, *, shapes: bool = True, **how: Any) -> Any:
    """A field with its help; one that `shapes` the run must stay the same when the run goes on."""
    return field(default=default, metadata={"help": help, "shapes": shapes, **how})


@dataclass(frozen=True, kw_only=True)
class DistilOptions:
    """What a run of `python -m sample_models.distil` was asked for."""

    dense: Path = option(MISSING, "folder of a dense model of the Llama family, or a GGUF file of one")
    data: tuple[Path, ...] = option(MISSING, "training text files", nargs="+", type=Path)
    valid: tuple[Path, ...] = option(MISSING, "held-out text files", nargs="+", type=Path)
    out: Path = option(MISSING, "folder of the run", shapes=False, type=Path)
    data_weights: tuple[float, ...] | None = option(
        None, "how often each training file is drawn from, relatively (all alike)", nargs="+", type=float
    )
    init: Path | None = option(None, "update file of another run to begin with", type=Path)
    rank: int = option(32, "rank of the updates of the FFN's matrices; 0 trains them whole", type=int)
    layer_steps: int = option(60, "steps of stage 1, layer by layer", type=int)
    steps: int = option(2000, "steps of stage 2, end to end", type=int)
    batch: int = option(4, "windows per step", type=int)
    context: int = option(256, "tokens per window", type=int)
    learning_rate: float = option(1e-3, "peak", type=float)
    loop_shares: tuple[float, ...] = option(
        (0.2, 0.5, 0.2, 0.1), "shares of 1, 2, ... loops that the depth heads begin with", nargs="+", type=float
    )
    gate_every: int = option(
        4, "every so many steps of stage 2 draw the loops with noise, which trains the depth heads; 0 never", type=int
    )
    kl: float = option(1.0, "factor of the KL divergence from the teacher", type=float)
    cross_entropy: float = option(0.3, "factor of the next-token cross-entropy", type=float)
    streams: float = option(0.3, "factor of the error of the residual stream after each layer", type=float)
    loop_cost: float = option(0.0, "factor of the mean loops of a token and layer", type=float)
    load_balance: float = option(0.01, "factor of the load-balancing loss", type=float)
    router_z: float = option(0.0, "factor of the router z-loss", type=float)
    depth_entropy: float = option(0.02, "factor of the entropy of the mean depth choice, which is sought", type=float)
    seed: int = option(0, "of the texts' order and of the noise", type=int)
    device: str = option("cuda" if torch.cuda.is_available() else "cpu", "where to train", shapes=False)
    bf16: bool = option(True, "autocast to bfloat16", shapes=False, action=argparse.BooleanOptionalAction)
    compile: bool = option(
        True, "compile the losses on the vocabulary", shapes=False, action=argparse.BooleanOptionalAction
    )
    stop_after: int | None = option(None, "steps to do in this call; the same command goes on", shapes=False, type=int)
    log_every: int = option(10, "steps", shapes=False, type=int)
    valid_every: int = option(200, "steps; a multiple of --log-every", shapes=False, type=int)
    valid_windows: int = option(6, "held-out documents per file, the first tokens of each", shapes=False, type=int)
    save_every_s: float = option(180, "seconds between saved states", shapes=False, type=float)


def parse(description: str, argv: list[str] | None = None) -> DistilOptions:
    """The options of a command line; a mistake ends the program with two lines."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dense", type=Path, help=_field("dense").metadata["help"])
    for each in fields(DistilOptions):
        how = {name: value for name, value in each.metadata.items() if name not in ("help", "shapes")}
        if each.name == "dense":
            continue
        if each.default is MISSING:
            how["required"] = True
        else:
            how["default"] = each.default
        parser.add_argument("--" + each.name.replace("_", "-"), help=each.metadata["help"].replace("%", "%%"), **how)
    given = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parser.parse_args(argv)).items()
    }
    options = DistilOptions(**given)
    if options.data_weights and len(options.data_weights) != len(options.data):
        parser.error(f"--data-weights must be as many as --data: {len(options.data)}, got {len(options.data_weights)}")
    if min(options.loop_shares) <= 0:
        parser.error(f"--loop-shares must all be above 0, got {options.loop_shares}")
    return options


def _field(name: str):
    return next(each for each in fields(DistilOptions) if each.name == name)


def keep_settings(options: DistilOptions) -> None:
    """Write the options of a run to its folder; if it has some already, those that shape it must be the same.

    Files are compared by name, since they may have moved. Raises ValueError with one sentence if they differ.
    """
    path, now = options.out / "settings.json", json.loads(json.dumps(asdict(options), default=str))
    before = json.loads(path.read_text()) if path.exists() else {}
    for each in fields(DistilOptions):
        if each.metadata["shapes"] and each.name in before:
            was, given = _by_name(before[each.name]), _by_name(now[each.name])
            if was != given:
                name = "--" + each.name.replace("_", "-")
                raise ValueError(
                    f"{options.out} is a run with {name} {was} and cannot go on with {name} {given}: give the same "
                    "option, or another --out"
                )
    path.write_text(json.dumps(now, indent=2) + "\n")


def _by_name(value: Any) -> Any:
    """Paths by their last part, so that files may move; everything else as it is."""
    if isinstance(value, list):
        return [_by_name(each) for each in value]
    return Path(value).name if isinstance(value, str) else value


__all__ = ["DistilOptions", "keep_settings", "parse"]
