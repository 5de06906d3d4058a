"""A disk cache of UMAP placements: computing one takes long. No Streamlit.

A file's name is the SHA-256 of the states, the settings and UMAP's version. It holds coordinates only, neither text nor
tokens, as safetensors and not as pickle. A file that cannot be read counts as missing and is written again.
"""

import hashlib
import json
import logging
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from analysis.explain.embedding import MIN_DISTANCE, NEIGHBOURS, SEED, Placement
from sample_models.cache_folder import FOLDER_VARIABLE, cache_folder

MAX_FILES = 200
"""Each has at most 32 kB; the oldest are deleted first."""

log = logging.getLogger(__name__)


def folder() -> Path:
    """The folder of the maps."""
    return cache_folder() / "umap"


def key_of(states: np.ndarray) -> str:
    """The cache key of the placement of these states [point, hidden]."""
    states = np.ascontiguousarray(states, np.float32)
    settings = [version("umap-learn"), NEIGHBOURS, MIN_DISTANCE, SEED, *states.shape]
    return hashlib.sha256(json.dumps(settings).encode() + states.tobytes()).hexdigest()


def read(key: str, count: int) -> Placement | None:
    """The cached placement of `count` states under a key; None if there is none that can be read."""
    path = folder() / f"{key}.safetensors"
    try:
        with safe_open(path, "numpy") as file:
            points, numbers = file.get_tensor("points"), file.get_tensor("numbers")
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError) as error:
        log.warning("%s cannot be read (%s): the map is made anew", path, error)
        return None
    whole = points.shape == (count, 2) and numbers.shape == (4,)
    if not (whole and np.isfinite(points).all() and np.isfinite(numbers).all()):
        log.warning("%s holds no map of %d states: it is made anew", path, count)
        return None
    trust, pca_trust, first, second = numbers.tolist()
    return Placement(points, trust, pca_trust, (first, second))


def write(key: str, placed: Placement) -> None:
    """Write a placement to the cache. If that fails, the log says why and the placement is not cached."""
    numbers = np.array([placed.trustworthiness, placed.pca_trustworthiness, *placed.pca_explained])
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder()) as scratch:
            partial = Path(scratch) / "partial"
            save_file({"points": placed.points, "numbers": numbers}, partial)
            os.replace(partial, folder() / f"{key}.safetensors")  # atomic: nobody reads half a file
        for old in sorted(folder().glob("*.safetensors"), key=lambda path: path.stat().st_mtime)[:-MAX_FILES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the map is not kept on disk: %s", error)


__all__ = ["FOLDER_VARIABLE", "folder", "key_of", "read", "write"]
