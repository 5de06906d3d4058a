"""Make the reference of the Python packages from their docstrings: `make reference` writes docs/reference/index.html.

python -m docs.make_reference
"""

from pathlib import Path

import pdoc

import hooks
import sample_models

PACKAGES = ("sample_models", "hooks", "analysis")
FOLDER = Path(__file__).parent / "reference"


def main() -> None:
    for package in (sample_models, hooks):  # their names resolve when first used; pdoc only sees what is there
        for name in package.__all__:
            setattr(package, name, getattr(package, name))
    pdoc.pdoc(*PACKAGES, output_directory=FOLDER)
    print(FOLDER / "index.html")


if __name__ == "__main__":
    main()
