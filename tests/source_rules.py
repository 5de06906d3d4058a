"""Queries on source code for the repository's rules: which module imports, names, writes or runs what.

They parse the files and look at imports and names, never at text. They work on any tree of files, so that the rules can
be tested on small trees that break them (tests/test_source_rules.py) and checked on this repository (test_repo.py).
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

FILE_WRITERS = {"write_text", "write_bytes", "mkdir", "makedirs", "unlink", "rmdir"}
SHIPPED = ("configuration_versatile", "feed_forward", "lambda_gate", "modeling_versatile", "taps", "units")
"""Modules that a saved model takes along; relative imports let them find each other there."""
Modules = dict[str, ast.Module]
"""Dotted name -> parsed module; a package's `__init__` has the name of the package."""


def parsed(root: Path, packages: Iterable[str]) -> Modules:
    """All modules of the packages in `root`; relative imports of those in `SHIPPED` are made absolute."""
    modules = {}
    for path in (path for package in packages for path in sorted((root / package).rglob("*.py"))):
        name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = ast.parse(path.read_text(encoding="utf-8"))
        if path.stem in SHIPPED:
            for node in ast.walk(modules[name]):
                if isinstance(node, ast.ImportFrom) and node.level == 1:
                    node.module, node.level = f"{name.rpartition('.')[0]}.{node.module}", 0
    return modules


@cache
def imported_names(tree: ast.AST, *, for_types: bool = True) -> frozenset[str]:
    """Dotted names that a tree imports anywhere: `a.b` of `import a.b`, `a.b.c` of `from a.b import c`.

    Without `for_types`, imports under `if TYPE_CHECKING` are left out. Raises ValueError for a relative import.
    """
    found = set()
    for node in _nodes(tree, for_types):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"line {node.lineno}: imports must be absolute")
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@cache
def _strings(tree: ast.AST, for_types: bool) -> frozenset[str]:
    """Dotted strings of a tree, which may name a module."""
    values = (node.value for node in _nodes(tree, for_types) if isinstance(node, ast.Constant))
    return frozenset(value for value in values if isinstance(value, str) and "." in value)


def _nodes(tree: ast.AST, for_types: bool) -> Iterator[ast.AST]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        only_types = isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING"
        waiting.extend(node.orelse if only_types and not for_types else ast.iter_child_nodes(node))


def libraries(tree: ast.AST) -> set[str]:
    """Top-level names of all libraries that a tree imports, except for types only."""
    return {name.partition(".")[0] for name in imported_names(tree, for_types=False)}


def import_graph(modules: Modules, *, for_types: bool = True) -> dict[str, set[str]]:
    """Module -> those of `modules` that it imports: at the top, in a function, or by a string that is a module's name.

    A name that a package does not define itself (`from hooks import capture`) counts as an import of the submodule that
    defines it or, if none does, of those that import it.
    """
    return dict(_import_graph(tuple(modules.items()), for_types))


@cache
def _import_graph(of: tuple[tuple[str, ast.Module], ...], for_types: bool) -> dict[str, set[str]]:
    modules = dict(of)
    made = {module: _defined_at_top(tree) for module, tree in modules.items()}
    bound = {module: names | _imported_at_top(modules[module]) for module, names in made.items()}

    @cache
    def homes(name: str) -> set[str]:
        if name in modules:
            return {name}
        package, _, last = name.rpartition(".")
        if last not in bound.get(package, ()):
            inside = [module for module in modules if module.startswith(f"{package}.")]
            for names in (made, bound):
                if below := {module for module in inside if last in names[module]}:
                    return below
        return {package} & modules.keys()

    graph = {}
    for module, tree in modules.items():
        graph[module] = set(_strings(tree, for_types) & modules.keys())
        graph[module] |= {home for name in imported_names(tree, for_types=for_types) for home in homes(name)}
        graph[module].discard(module)
    return graph


@cache
def _imported_at_top(tree: ast.Module) -> set[str]:
    """Names that a module imports when it is imported itself."""
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name for node in imports for alias in node.names}


@cache
def _defined_at_top(tree: ast.Module) -> set[str]:
    """Classes, functions and values that a module makes when it is imported."""
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return found


def import_cycles(modules: Modules) -> set[str]:
    """Modules that are part of an import cycle or import one that is."""
    rest = import_graph(modules)
    while leaves := {module for module, imports in rest.items() if not imports & rest.keys()}:
        rest = {module: imports for module, imports in rest.items() if module not in leaves}
    return set(rest)


def upward_imports(modules: Modules, rooms: tuple[str, ...]) -> set[tuple[str, str]]:
    """(module, imported module) for all imports from a higher package; `rooms` lists packages, the highest first.

    A module belongs to the innermost package in `rooms` that contains it. Raises ValueError if none does.
    """

    def place(module: str) -> int:
        room = module
        while room not in rooms:
            if not room:
                raise ValueError(f"{module} is in none of the rooms")
            room = room.rpartition(".")[0]
        return rooms.index(room)

    arrows = {(module, name) for module, imports in import_graph(modules).items() for name in imports}
    return {(module, name) for module, name in arrows if place(module) > place(name)}


def importers_of(modules: Modules, library: str) -> set[str]:
    """Modules that import a library, directly or through other modules."""
    graph = import_graph(modules, for_types=False)
    found = {module for module, tree in modules.items() if library in libraries(tree)}
    while more := {module for module, imports in graph.items() if module not in found and imports & found}:
        found |= more
    return found


def modules_naming(modules: Modules, name: str) -> set[str]:
    """Modules in which a name occurs as a name, an attribute, an import, or a whole string."""
    found = set()
    for module, tree in modules.items():
        for node in ast.walk(tree):
            if name in (getattr(node, part, None) for part in ("attr", "id", "name", "value")):
                found.add(module)
    return found


def writing_files(modules: Modules) -> set[str]:
    """Modules that create, change or delete files by methods of a path or by `open` with a writing mode."""

    def writes(call: ast.Call) -> bool:
        method = isinstance(call.func, ast.Attribute)
        name = call.func.attr if method else getattr(call.func, "id", None)
        modes = [
            *(call.args[:1] if method else call.args[1:2]),
            *(each.value for each in call.keywords if each.arg == "mode"),
        ]
        written = any(isinstance(mode, ast.Constant) and set(str(mode.value)) & set("wax+") for mode in modes)
        return name in FILE_WRITERS or (name == "open" and written)

    calls = {
        module: [node for node in ast.walk(tree) if isinstance(node, ast.Call)] for module, tree in modules.items()
    }
    return {module for module, of_module in calls.items() if any(map(writes, of_module))}


def running_models(modules: Modules, package: str = "app") -> set[str]:
    """Modules of a package that run models: they import torch, directly or not, or use the loaded network.

    The network is the attribute `model` of the result of `loaded_model`.
    """
    heavy = {module for module in importers_of(modules, "torch") if module.partition(".")[0] != package}
    found = set()
    for module, imports in import_graph(modules, for_types=False).items():
        if module.partition(".")[0] != package:
            continue
        tree = {module: modules[module]}
        touched = modules_naming(tree, "loaded_model") and any(
            isinstance(node, ast.Attribute) and node.attr == "model" for node in ast.walk(modules[module])
        )
        if imports & heavy or "torch" in libraries(modules[module]) or touched:
            found.add(module)
    return found


def outside_the_queue(modules: Modules, module: str) -> set[str]:
    """Functions of a module that run a model but neither are `cached` nor wait for a turn in the queue.

    A function runs a model if it imports something that needs torch, other than estimates of a size (`..._bytes`).
    """
    heavy, found = importers_of(modules, "torch"), set()
    functions = [node for node in modules[module].body if isinstance(node, ast.FunctionDef)]
    alone = {f"the imports of {function.name}": _imports_alone(function) for function in functions}
    graph = import_graph(modules | alone)
    for function in functions:
        runs = graph[f"the imports of {function.name}"] & heavy
        takes_turn = any(ast.unparse(decorator).startswith("cached(") for decorator in function.decorator_list) or any(
            ast.unparse(item.context_expr) in ("model_turn()", "job.turns()")
            for node in ast.walk(function)
            if isinstance(node, ast.With)
            for item in node.items
        )
        if runs and not takes_turn:
            found.add(function.name)
    return found


def _imports_alone(function: ast.FunctionDef) -> ast.Module:
    names = sorted(name for name in imported_names(function) if not name.endswith("_bytes"))
    return ast.Module([ast.Import([ast.alias(name)]) for name in names], [])


def undocumented(tree: ast.Module) -> set[str]:
    """Public classes and functions without a docstring (of overloads, one needs a docstring).

    Public are the names in `__all__` or, without it, those that do not start with an underscore.
    """
    named = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets) == "__all__"
    ]
    public = {each.value for value in named for each in ast.walk(value) if isinstance(each, ast.Constant)}
    defined = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    if not named:
        public = {node.name for node in defined if not node.name.startswith("_")}
    return public & {node.name for node in defined} - {node.name for node in defined if ast.get_docstring(node)}
