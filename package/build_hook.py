"""Puts the rewritten modules of the four packages into a wheel; hatchling runs it (see `pyproject.toml`)."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent / "versatileffn"))
from rewriting import PACKAGES, rewritten


class RewritingHook(BuildHookInterface):
    """Whatever the checkout has in the packages goes into the wheel as it is; modules and stubs go in rewritten."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the rewritten modules aside, and have the builder take them instead of the plain ones."""
        if version == "editable":  # which rewrites when it imports
            return
        self.aside = Path(tempfile.mkdtemp(prefix="versatileffn-build-"))
        for file in list(self.build_config.builder.recurse_selected_project_files()):
            path = Path(file.relative_path)
            if path.suffix in (".py", ".pyi") and path.parts[0] in PACKAGES:
                written = self.aside / path
                written.parent.mkdir(parents=True, exist_ok=True)
                try:
                    written.write_text(rewritten(Path(file.path).read_text("utf-8")), "utf-8")
                except ValueError as error:
                    raise ValueError(f"{path}: {error}") from error
                build_data["force_include"][str(written)] = file.distribution_path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was written aside."""
        if version != "editable":
            shutil.rmtree(self.aside)
