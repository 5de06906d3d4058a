"""Every notebook in docs/ runs from its first cell to its last, as a reader would run it, and says nothing odd."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from docs.make_notebooks import PLOTLY, PNG

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(path.name for path in DOCS.glob("*.ipynb"))
MOST_BYTES = 2 * 2**20


def test_there_are_notebooks_to_run():
    assert NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_kept_with_small_pictures_and_no_counts_of_runs(name):
    notebook = nbformat.read(DOCS / name, as_version=4)
    nbformat.validate(notebook)
    assert (DOCS / name).stat().st_size < MOST_BYTES
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count is None for cell in cells)
    data = [out.data for cell in cells for out in cell.outputs if "data" in out]
    assert data and not any(PLOTLY in each for each in data)
    assert all(each["text/plain"].startswith(("Figure(", "<PIL")) for each in data if PNG in each)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs_and_shows_something_in_most_cells(name, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore:IProgress not found")  # of ipywidgets, which only Jupyter's page needs
    notebook = nbformat.read(DOCS / name, as_version=4)
    # Files instead of ports, which others could listen at; named in full, since the kernel starts in another folder.
    files = Config({"KernelManager": {"transport": "ipc", "ip": str(tmp_path / "kernel")}})
    client = NotebookClient(notebook, timeout=600, config=files, resources={"metadata": {"path": str(DOCS)}})
    client.execute()  # an exception in a cell is raised here, with the cell
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    said = [out.text for cell in cells for out in cell.outputs if out.get("name") == "stderr"]
    assert [text for text in said if text.strip() and "%|" not in text] == []  # progress bars are no warnings
    assert sum(bool(cell.outputs) for cell in cells) > len(cells) / 2
