from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from docs._generate.outputs import keep_outputs

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_and_its_script_say_the_same(path):
    assert cells(path) == cells(path.with_suffix(".py"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_outputs_which_are_small_and_no_errors(path):
    code = [cell for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    assert any(cell.outputs for cell in code)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds <= {"display_data", "execute_result", "stream"}
    assert path.stat().st_size < 700_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept_of_a_notebook_is_the_same_each_time(path):
    notebook = nbformat.read(path, as_version=4)
    assert not [cell for cell in notebook.cells if "execution" in cell.metadata]
    assert "version" not in notebook.metadata["language_info"]
    shown = "".join(str(cell.get("outputs")) for cell in notebook.cells)
    assert tempfile.gettempdir() not in shown


@pytest.mark.slow
def test_outputs_are_the_same_bits_each_time(tmp_path):
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files.append(Path(shutil.copy(NOTEBOOKS[1], tmp_path / name)))
        keep_outputs(files[-1])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_every_figure_of_a_notebook_is_shown_not_the_first_alone():
    sources = [
        "import pmsim; result = pmsim.run('one-broadcast')",
        "_ = pmsim.plot.operation_cost(result)",
        "_ = pmsim.plot.flush_cost(result)",
        "import matplotlib.pyplot as plt; _ = plt.plot([1, 2])",
    ]
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    NotebookClient(notebook).execute()
    pictures = [
        sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in notebook.cells
    ]
    assert pictures == [0, 1, 1, 1]
