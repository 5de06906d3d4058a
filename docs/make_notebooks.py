"""Runs the notebooks of this folder and keeps their outputs in them, with figures as pictures.

python -m docs.make_notebooks [NAME ...]

A figure becomes a PNG that every reader of notebooks shows; the page itself would be megabytes of plotly.js.
"""

import argparse
import base64
import io
import os
import re
import tempfile
from pathlib import Path

import nbformat
import plotly.graph_objects as go
from nbclient import NotebookClient
from PIL import Image
from traitlets.config import Config

from analysis.export.pictures import pictures

DOCS = Path(__file__).parent
PLOTLY, PNG = "application/vnd.plotly.v1+json", "image/png"
WIDTH_PX, HEIGHT_PX = 900, 420
"""Size of a figure that names none."""


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook after a run from its first cell to its last; `folder` is empty, for the files of its kernel."""
    notebook = nbformat.read(path, as_version=4)
    # Files instead of ports, which others could listen at; named in full, since the kernel starts in another folder.
    files = Config({"KernelManager": {"transport": "ipc", "ip": str(folder / "kernel")}})
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of ipywidgets, which only Jupyter's page needs
    NotebookClient(notebook, timeout=600, config=files, resources={"metadata": {"path": str(path.parent)}}).execute()
    return notebook


def kept(notebook: nbformat.NotebookNode, draw) -> nbformat.NotebookNode:
    """The notebook with figures as pictures, without progress bars, execution counts, and times of its cells."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
            if PLOTLY in output.get("data", {}):
                figure = go.Figure(output.data[PLOTLY]["data"], output.data[PLOTLY]["layout"])
                output.data = {PNG: _small_png(figure, draw), "text/plain": said(figure)}
    return notebook


def said(figure: go.Figure) -> str:
    """What a figure draws, in words that change with its kind and its title but not with rounding."""
    title = re.sub(r"<[^>]*>", " ", figure.layout.title.text or "")
    kinds = ", ".join(dict.fromkeys(trace.type for trace in figure.data))
    return f"Figure({' '.join(title.split())!r}: {len(figure.data)} x {kinds})"


def _small_png(figure: go.Figure, draw) -> str:
    figure.update_layout(width=figure.layout.width or WIDTH_PX, height=figure.layout.height or HEIGHT_PX)
    image = Image.open(io.BytesIO(draw(figure, "png")))
    image.thumbnail((2 * WIDTH_PX, 4 * WIDTH_PX))
    small = io.BytesIO()
    image.convert("RGB").quantize(128).save(small, "png", optimize=True)
    return base64.encodebytes(small.getvalue()).decode()


def main() -> None:
    """Remake the named notebooks, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted(path.stem for path in DOCS.glob("*.ipynb"))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; default all")
    for name in parser.parse_args().names or names:
        path = DOCS / f"{name}.ipynb"
        with tempfile.TemporaryDirectory() as folder, pictures() as draw:
            os.environ["VERSATILEFFN_CACHE"] = folder  # the shipped models alone, whatever was built on this machine
            nbformat.write(kept(executed(path, Path(folder)), draw), path)
        print(f"{path}: {path.stat().st_size / 2**20:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
