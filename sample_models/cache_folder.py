"""Where the project keeps what can be made again: built models and UMAP maps."""

import os
from pathlib import Path

import platformdirs

FOLDER_VARIABLE = "VERSATILEFFN_CACHE"
"""Environment variable that names another folder."""


def cache_folder() -> Path:
    """The folder that VERSATILEFFN_CACHE names, or the one that the system keeps for a program's caches."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_cache_path("versatileffn-explorer", appauthor=False)


__all__ = ["FOLDER_VARIABLE", "cache_folder"]
