"""The models that all visitors share: where they are, loaded once, and the checks of them. Found by name only.

What `st.cache_resource` keeps is locked while it is made, and so must never wait for a turn.
"""

import gc
import importlib
import os
import sys
import threading
from pathlib import Path

import streamlit as st

from analysis.models.health import Check
from analysis.models.training import TrainingCurves, read_curves
from sample_models.kept_checkpoints import KeptCheckpoint, kept_checkpoints
from sample_models.registry import CHECKPOINTS, available_models

ROOTS_VARIABLE = "VERSATILEFFN_MODELS"
"""Environment variable with more folders of models, set by whoever starts the server; a visitor cannot name paths."""


def folders() -> dict[str, Path]:
    """Name -> folder of every model in the shipped checkpoints and the folders that the server was started with."""
    more = os.environ.get(ROOTS_VARIABLE, "")
    return dict(available_models([CHECKPOINTS, *map(Path, filter(None, more.split(os.pathsep)))]))


@st.cache_resource(max_entries=3, show_spinner="Loading the model…", show_time=True)
def loaded_model(name: str):
    # torch, transformers and TransformerLens take seconds: not before the first model is needed.
    import hooks.capturing  # noqa: F401
    from sample_models import load_model

    _freeze_libraries()
    return load_model(folders()[name])


@st.cache_resource(max_entries=1, show_spinner=False)
def loaded_in_half(name: str):
    """The model in bfloat16."""
    import torch

    from sample_models import load_model

    return load_model(folders()[name], dtype=torch.bfloat16)


@st.cache_resource(show_spinner=False)
def _freeze_libraries() -> None:
    """Take what the imports made, and what stays for good, out of the garbage collector's sight.

    Streamlit collects garbage after every run and holds up the page's last messages meanwhile: looking through all
    objects of these libraries took 0.3 s for every click.
    """
    gc.collect()
    gc.freeze()


@st.cache_data(max_entries=16, show_spinner=False)
def checkpoints_of(model_name: str) -> list[KeptCheckpoint]:
    """What a model kept of its training, by step."""
    return kept_checkpoints(folders()[model_name])


def curves_of(model_name: str, meta: dict) -> TrainingCurves | None:
    """Curves of a model's training, with the `meta` of its traces; None if it came without.

    ValueError if the file holds no curves.
    """
    path = folders()[model_name] / "curves.csv"
    about = {key: meta.get(key) for key in ("model", "weights_sha256", "gates_trained")}
    return _read_curves(path, path.stat().st_mtime_ns, about) if path.is_file() else None


@st.cache_resource(max_entries=16, show_spinner=False)
def _read_curves(path: Path, written: int, meta: dict) -> TrainingCurves:
    """Read again only when the file was written since."""
    return TrainingCurves(read_curves(path.read_bytes()), meta)


@st.cache_resource(show_spinner=False)
def health_of_models() -> dict[str, list[Check]]:
    """Checks of the models that were checked since the server began, by the digest of their weights."""
    return {}


def warm_up() -> None:
    """Begin to import what a model needs, in the background, when a reader is about to ask for one."""
    _importing()


def warm() -> bool:
    """Whether the libraries that a model needs have been imported."""
    return "hooks.capturing" in sys.modules


@st.cache_resource(show_spinner=False)
def _importing() -> threading.Thread:
    thread = threading.Thread(target=importlib.import_module, args=("hooks.capturing",), daemon=True)
    thread.start()
    return thread
