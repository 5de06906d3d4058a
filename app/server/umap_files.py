"""UMAP placements kept on disk, so that a map that took a minute is there at once the next time. No Streamlit.

A file is found by the SHA-256 of the states, the settings and UMAP's version. It holds coordinates only: neither text
nor token. safetensors, no pickle. A file that cannot be read is no map, and is written anew.
"""

import hashlib
import json
import logging
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from analysis.explain.embedding import MIN_DISTANCE, NEIGHBOURS, SEED, Placement

FOLDER_VARIABLE = "VERSATILEFFN_CACHE"
"""Environment variable with another folder than the user's own for caches."""
MOST_FILES = 200
"""Of 32 kB at most; the oldest go first."""

log = logging.getLogger(__name__)


def folder() -> Path:
    """Where placements are kept: below VERSATILEFFN_CACHE, or where the system keeps a program's caches."""
    own = os.environ.get(FOLDER_VARIABLE)
    return (Path(own) if own else platformdirs.user_cache_path("versatileffn-explorer", appauthor=False)) / "umap"


def key_of(states: np.ndarray) -> str:
    """What a placement of these states [point, hidden] is found by."""
    states = np.ascontiguousarray(states, np.float32)
    settings = [version("umap-learn"), NEIGHBOURS, MIN_DISTANCE, SEED, *states.shape]
    return hashlib.sha256(json.dumps(settings).encode() + states.tobytes()).hexdigest()


def read(key: str, count: int) -> Placement | None:
    """The placement of `count` states that is kept under a key; None if there is none that can be read."""
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
    """Keep a placement. Where nothing can be written, it is not kept, and the log says why."""
    numbers = np.array([placed.trustworthiness, placed.pca_trustworthiness, *placed.pca_explained])
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder()) as scratch:
            made = Path(scratch) / "made"
            save_file({"points": placed.points, "numbers": numbers}, made)
            os.replace(made, folder() / f"{key}.safetensors")  # at once: nobody reads half a file
        for old in sorted(folder().glob("*.safetensors"), key=lambda path: path.stat().st_mtime)[:-MOST_FILES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("the map is not kept on disk: %s", error)


__all__ = ["FOLDER_VARIABLE", "folder", "key_of", "read", "write"]
