"""Rewrites a module of the checkout as it must be inside `versatileffn`: its imports, and the commands it names."""

import ast
import re

PACKAGES = ("sample_models", "hooks", "analysis", "app")
"""The packages beside the README that become packages of `versatileffn`."""
ENTRY = re.compile(r"\bpython -m app\b(?!\.)")
MODULE = re.compile(rf"\bpython -m (?=(?:{'|'.join(PACKAGES)})\b)")


def rewritten(source: str) -> str:
    """The source with `versatileffn.` before the four packages in its imports; no line moves.

    In messages and docstrings `python -m app` becomes `versatileffn`, and `python -m hooks.x` becomes
    `python -m versatileffn.hooks.x`. Raises ValueError for an import that binds the first of several names, such as
    `import hooks.x`.
    """
    lines = source.encode("utf-8").splitlines(keepends=True)  # ast counts columns in bytes
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        at, start = node.lineno - 1, node.col_offset
        if isinstance(node, ast.ImportFrom):
            if node.level == 0 and _is_ours(node.module):
                lines[at] = lines[at][:start] + lines[at][start:].replace(b"from ", b"from versatileffn.", 1)
        elif any(_is_ours(alias.name) for alias in node.names):
            (alias,) = node.names  # ruff allows one at a time
            if "." in alias.name and not alias.asname:
                raise ValueError(f"line {node.lineno}: write `from {alias.name.replace('.', ' import ', 1)}` instead")
            before = b"import versatileffn." if alias.asname else b"from versatileffn import "
            lines[at] = lines[at][:start] + lines[at][start:].replace(b"import ", before, 1)
    text = b"".join(lines).decode("utf-8")
    return MODULE.sub("python -m versatileffn.", ENTRY.sub("versatileffn", text))


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in PACKAGES


__all__ = ["PACKAGES", "rewritten"]
