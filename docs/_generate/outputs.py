"""Run notebooks, and keep what they give: the same bits each time.

``python -m docs._generate.outputs notebooks/*.ipynb`` leaves out what `jupyter execute` notes
besides: when each cell ran, and on which Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def keep_outputs(path: Path) -> None:
    """Run a notebook in its own directory, and write it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails; the file stays as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    client = NotebookClient(
        notebook, record_timing=False, resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    notebook.metadata["language_info"].pop("version", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for one in sys.argv[1:]:
        print(f"running {one}", flush=True)
        keep_outputs(Path(one))
