"""An editable install: `versatileffn.hooks` and its like come from the checkout, rewritten as they are imported.

They are other modules than the `hooks` of a program that runs in the checkout's folder: use one of the two names.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from versatileffn.rewriting import PACKAGES, rewritten

ROOT = Path(__file__).parents[2]


class RewritingLoader(SourceFileLoader):
    """Loads a file of the checkout rewritten. Its byte code has a name of its own beside that of the plain module."""

    def source_to_code(self, data: bytes, path: str, *, _optimize: int = -1) -> CodeType:
        return super().source_to_code(rewritten(data.decode("utf-8")).encode("utf-8"), path, _optimize=_optimize)

    def get_data(self, path: str) -> bytes:
        return super().get_data(_named_apart(path))

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:
        super().set_data(_named_apart(path), data, _mode=_mode)


def _named_apart(path: str) -> str:
    return str(Path(path).with_suffix(".versatileffn.pyc")) if path.endswith(".pyc") else path


class CheckoutFinder:
    """Finds `versatileffn.hooks.trace` where `hooks.trace` lies in the checkout."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        root, _, rest = name.partition(".")
        if root != "versatileffn" or rest.partition(".")[0] not in PACKAGES:
            return None
        found = PathFinder.find_spec(name, [str(ROOT)] if "." not in rest else path)
        if found is None or not (found.origin or "").endswith(".py"):
            return found
        return spec_from_file_location(
            name,
            found.origin,
            loader=RewritingLoader(name, found.origin),
            submodule_search_locations=found.submodule_search_locations,
        )


def find_packages() -> None:
    """From now on, the packages of `versatileffn` are found in the checkout."""
    sys.meta_path.insert(0, CheckoutFinder)


__all__ = ["find_packages"]
