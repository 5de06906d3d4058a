"""Options of the commands that load a model: where it runs, in which number format, at which step of its training."""

import argparse
from typing import Any

MODEL_HELP = "name of a shipped model, a folder, or hf:org/name[@revision]"
DTYPES = ("float32", "bfloat16", "float16")


def loading_of(args: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `load_model` for `--device`, `--dtype` and `--step`.

    Raises ValueError for a device that torch cannot use here.
    """
    import torch

    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")[:120]
        raise ValueError(f"--device {args.device} cannot be used on this machine ({reason})") from None
    return {"device": args.device, "dtype": getattr(torch, args.dtype), "step": args.step}


def add_loading(command: argparse.ArgumentParser) -> None:
    """The options that `loading_of` reads."""
    command.add_argument("--device", default="cpu", help="where the model runs: cpu, cuda, cuda:1, mps (default: cpu)")
    command.add_argument("--dtype", choices=DTYPES, default="float32", help="number format (default: float32)")
    command.add_argument("--step", type=int, help="load the weights that were kept after this step of the training")


__all__ = ["MODEL_HELP", "add_loading", "loading_of"]
