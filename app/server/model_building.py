"""Building a model that has a recipe but is not on this machine yet, in a process of its own. No Streamlit."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from sample_models.recipes import recipes

ROOT = Path(__file__).parents[2]
_building = threading.Lock()


def models_to_build() -> list[str]:
    """Names of the models that can be built and were not."""
    return [name for name, recipe in recipes().items() if not recipe.is_built]


def build(name: str, told: Callable[[str], None]) -> None:
    """Download, build and trace the examples, as `python -m app get-model` does; `told` hears each step.

    What is begun goes on to its end, also if its visitor leaves. Raises ValueError with one sentence if somebody is
    building already, or it cannot be done.
    """
    if not _building.acquire(blocking=False):
        raise ValueError("Another visitor is building a model already; try again in a minute.")
    try:
        command = [sys.executable, "-m", __package__.rpartition(".")[0], "get-model", name]
        last = ""
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as made:
            for line in made.stderr:
                if line.strip():
                    last = line.strip()
                    told(last)
        if made.returncode:
            raise ValueError(f"{last.removesuffix('.')}.")
    finally:
        _building.release()


__all__ = ["build", "models_to_build"]
