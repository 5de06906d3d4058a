"""The models that all visitors share, by name: their folders, the loaded models, and the results of their checks.

`st.cache_resource` locks an entry while it is computed, so the functions here must never wait for a turn in a queue.
"""

import gc
import importlib
import os
import sys
import threading
from pathlib import Path

import streamlit as st

import hooks
from analysis.models.health import Check
from analysis.models.training import TrainingCurves, read_curves
from app.limits import MAX_MODELS
from sample_models.adapter_families import family_of
from sample_models.intermediate_checkpoints import IntermediateCheckpoint, intermediate_checkpoints
from sample_models.recipes import built_roots
from sample_models.registry import CHECKPOINTS, available_models, has_chat_template, model_type_of

CAPTURING = f"{hooks.__name__}.capturing"
"""The module that imports all libraries that a model needs."""
WARM_UP_AFTER_S = 2
"""After the first page of a server is drawn, which the import of these libraries would slow down."""
ROOTS_VARIABLE = "VERSATILEFFN_MODELS"
"""Environment variable with more folders of models, set by whoever starts the server. Visitors cannot name paths."""


class ModelError(ValueError):
    """A model cannot be loaded, or not any more. Its sentence is for visitors: it names no folder of the server."""


def folders() -> dict[str, Path]:
    """Name -> folder of every model that ships, was built here, or lies in the folders that the server was given."""
    more = os.environ.get(ROOTS_VARIABLE, "")
    return dict(available_models([CHECKPOINTS, *built_roots(), *map(Path, filter(None, more.split(os.pathsep)))]))


def folder_of(name: str) -> Path:
    """The folder of a model. Raises ModelError if it is gone, as a folder may be while the server runs."""
    if (folder := folders().get(name)) is None:
        raise ModelError(f"The model {name} is no longer on this server; choose another one in the sidebar.")
    return folder


def offers_chat(name: str) -> bool:
    """Whether a model came with a chat template. Loads nothing."""
    return (folder := folders().get(name)) is not None and has_chat_template(folder)


def is_versatile(name: str) -> bool:
    """Whether a model is a VersatileFFN, and of no other family. Loads nothing."""
    folder = folders().get(name)
    return folder is None or family_of(model_type_of(folder / "config.json")) is None


@st.cache_resource(max_entries=MAX_MODELS, show_spinner="Loading the model…", show_time=True)
def loaded_model(name: str):
    """The model. Raises ModelError if it cannot be loaded."""
    return load(name)


@st.cache_resource(max_entries=1, show_spinner=False)
def loaded_in_bfloat16(name: str):
    """The model in bfloat16. Raises ModelError if it cannot be loaded."""
    import torch

    return load(name, dtype=torch.bfloat16)


def load(name: str, **how):
    """The model, as `load_model` loads it with `how`. Raises ModelError if it cannot be loaded."""
    # Imported only now: torch, transformers and TransformerLens take seconds.
    from hooks import capturing  # noqa: F401
    from sample_models import load_model

    _freeze_libraries()
    folder = folder_of(name)
    try:
        return load_model(folder, **how)
    except ValueError as error:
        raise ModelError(f"{str(error).replace(str(folder), name).removesuffix('.')}.") from error
    except OSError as error:
        raise ModelError(f"The files of {name} cannot be read ({error.strerror}); choose another model.") from error


@st.cache_resource(show_spinner=False)
def _freeze_libraries() -> None:
    """Exempt the objects of the imported libraries, which stay for good, from garbage collection.

    Streamlit collects garbage after every run before it sends the page's last messages. Scanning all objects of these
    libraries took 0.3 s for every click.
    """
    gc.collect()
    gc.freeze()


@st.cache_data(max_entries=16, show_spinner=False)
def checkpoints_of(model_name: str) -> list[IntermediateCheckpoint]:
    """The intermediate checkpoints of a model's training, by step. Raises ModelError if the model is gone."""
    return intermediate_checkpoints(folder_of(model_name))


def curves_of(model_name: str, meta: dict) -> TrainingCurves | None:
    """The training curves of a model, labelled with the `meta` of its traces; None if it has no curves.csv.

    Raises ValueError if the file holds no curves, or if the model is gone.
    """
    path = folder_of(model_name) / "curves.csv"
    about = {key: meta.get(key) for key in ("model", "weights_sha256", "gates_trained")}
    return _read_curves(path, path.stat().st_mtime_ns, about) if path.is_file() else None


@st.cache_resource(max_entries=16, show_spinner=False)
def _read_curves(path: Path, modified_ns: int, meta: dict) -> TrainingCurves:
    """The curves of a file. `modified_ns` is part of the cache key, so that a changed file is read again."""
    return TrainingCurves(read_curves(path.read_bytes()), meta)


@st.cache_resource(show_spinner=False)
def health_of_models() -> dict[str, list[Check]]:
    """SHA-256 of a model's weights -> its checks, for the models that were checked since the server started."""
    return {}


def warm_up(after_s: float = 0) -> None:
    """Start to import the libraries that a model needs, in a background thread, before a visitor asks for one."""
    _import_thread(after_s)


def libraries_imported() -> bool:
    """Whether the libraries that a model needs have been imported."""
    return CAPTURING in sys.modules


@st.cache_resource(show_spinner=False)
def _import_thread(after_s: float) -> threading.Timer:
    thread = threading.Timer(after_s, importlib.import_module, args=(CAPTURING,))
    thread.daemon = True
    thread.start()
    return thread
