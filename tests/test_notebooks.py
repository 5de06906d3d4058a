"""Every notebook in docs/ runs from its first cell to its last, as a reader would run it, and says nothing odd."""

import re
from pathlib import Path

import nbformat
import plotly.graph_objects as go
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_output
from traitlets.config import Config

from docs.make_notebooks import PLOTLY, PNG, said

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(path.name for path in DOCS.glob("*.ipynb"))
MOST_BYTES = 2 * 2**20
NUMBER = re.compile(r"[+\-−]?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?")


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
    notebook, kept = (nbformat.read(DOCS / name, as_version=4) for _ in range(2))
    # Files instead of ports, which others could listen at; named in full, since the kernel starts in another folder.
    files = Config({"KernelManager": {"transport": "ipc", "ip": str(tmp_path / "kernel")}})
    client = NotebookClient(notebook, timeout=600, config=files, resources={"metadata": {"path": str(DOCS)}})
    client.execute()  # an exception in a cell is raised here, with the cell
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    said = [out.text for cell in cells for out in cell.outputs if out.get("name") == "stderr"]
    assert [text for text in said if text.strip() and "%|" not in text] == []  # progress bars are no warnings
    assert sum(bool(cell.outputs) for cell in cells) > len(cells) / 2
    for now, then in zip(cells, [cell for cell in kept.cells if cell.cell_type == "code"], strict=True):
        words, numbers = shown(now)
        words_kept, numbers_kept = shown(then)
        assert words == words_kept, "python -m docs.make_notebooks keeps the outputs of today"
        assert numbers == close_to(numbers_kept), words


def close_to(numbers: list[float]):
    """What equals numbers that another machine gives, which sums in another order."""
    return pytest.approx(numbers, rel=0.02, abs=1e-4)


def shown(cell) -> tuple[str, list[float]]:
    """What a cell shows, without its numbers, and the numbers: figures in words, and nothing that any run may change.

    Left out are times, and the versions of what is installed.
    """
    texts = ["".join(out.text for out in cell.outputs if out.get("name") == "stdout")]
    for data in (out.data for out in cell.outputs if "data" in out):
        drawn = data.get(PLOTLY)
        texts.append(said(go.Figure(drawn["data"], drawn["layout"])) if drawn else data["text/plain"])
    whole = "\n".join(
        text for text in texts if not any(word in text for word in ("milliseconds", "'versions'", "<PIL"))
    )
    numbers = [float(each.replace("−", "-").replace(",", "")) for each in NUMBER.findall(whole)]
    return " ".join(NUMBER.sub("#", whole).split()), numbers


def test_other_words_or_numbers_than_those_that_are_kept_are_seen():
    def of(text: str):
        return shown(new_code_cell(outputs=[new_output("stream", name="stdout", text=text)]))

    assert of("loss 2.981, gap 1.6e-07\n") == ("loss #, gap #", [2.981, 1.6e-07])
    assert of("moved −0.40 of 1,024 in layer_3") == ("moved # of # in layer_#", [-0.4, 1024, 3])
    assert of("run milliseconds\n0 2.63") == ("", [])
    ours = [2.981, 1.6e-07]
    assert ours == close_to([2.98, 4e-07]) and ours != close_to([3.2, 0])
