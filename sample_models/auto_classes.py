"""Makes transformers' Auto classes and pipelines know the models of this package, without importing either.

transformers keeps the names of its configurations and models in tables, and imports a class when it is asked for. Our
names are added to these tables as soon as transformers has made them, so that light commands load neither transformers
nor torch. Of what transformers made before this package was imported, its public `register` is called.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

MODEL_TYPE = "versatile_ffn"
AUTO = "transformers.models.auto"
TABLES = {
    f"{AUTO}.configuration_auto": {"CONFIG_MAPPING_NAMES": "VersatileFFNConfig"},
    f"{AUTO}.modeling_auto": {
        "MODEL_MAPPING_NAMES": "VersatileFFNModel",
        "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES": "VersatileFFNForCausalLM",
    },
}
"""Module of transformers -> its table -> our class."""
HOMES = {
    "VersatileFFNConfig": ".configuration_versatile",
    "VersatileFFNModel": ".modeling_versatile",
    "VersatileFFNForCausalLM": ".modeling_versatile",
}
"""Our class -> the module that holds it."""


class _Classes(ModuleType):
    """Stands where transformers looks for the module of a model type; imports a class when it is asked for."""

    def __getattr__(self, name: str):
        if name not in HOMES:
            raise AttributeError(f"{self.__name__} has no {name}")
        return getattr(importlib.import_module(HOMES[name], __package__), name)


class _Watcher(MetaPathFinder):
    """Adds our names to the tables of a module right after it was imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in TABLES else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_add(module: ModuleType) -> None:
            execute(module)
            add_names(module)

        spec.loader.exec_module = execute_and_add
        return spec


def add_names(module: ModuleType) -> None:
    """Add our names to the tables of a module of transformers that nobody has read yet."""
    name = f"transformers.models.{MODEL_TYPE}"
    sys.modules.setdefault(name, _Classes(name))
    for table, our_class in TABLES[module.__name__].items():
        vars(module)[table][MODEL_TYPE] = our_class


def register() -> None:
    """Make the Auto classes know our models, now or when they are imported. A second call does nothing."""
    if any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Watcher())
    if f"{AUTO}.configuration_auto" in sys.modules:
        add_names(sys.modules[f"{AUTO}.configuration_auto"])
    if f"{AUTO}.modeling_auto" in sys.modules:
        ours, auto = _Classes(MODEL_TYPE), sys.modules[f"{AUTO}.modeling_auto"]
        auto.AutoModel.register(ours.VersatileFFNConfig, ours.VersatileFFNModel)
        auto.AutoModelForCausalLM.register(ours.VersatileFFNConfig, ours.VersatileFFNForCausalLM)


__all__ = ["register"]
