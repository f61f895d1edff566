"""The notebook runs from the top, and each of its answers shows something.

Its code cells are run in one namespace, as Jupyter does; Jupyter itself would be a hundred packages more.
"""

import ast
import json
from pathlib import Path

import pandas as pd
import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "lake.ipynb"
CELLS = [
    "".join(cell["source"])
    for cell in json.loads(NOTEBOOK.read_text())["cells"]
    if cell["cell_type"] == "code"
]


def result(cell, namespace):
    """What Jupyter would show below the cell: the value of its last expression."""
    body = ast.parse(cell).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), namespace)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), namespace) if last else None


@pytest.mark.usefixtures("beside_lake")
def test_it_runs_from_the_top():
    """In a fresh kernel, beside the lake that the sandbox has filled; no table is empty."""
    namespace = {"__name__": "__main__"}
    shown = [result(cell, namespace) for cell in CELLS]
    assert [each is None for each in shown] == [True] + [False] * (len(CELLS) - 1)
    frames = [each for each in shown if isinstance(each, pd.DataFrame)]
    assert len(frames) == 5
    assert all(len(frame) for frame in frames)
    assert "0 wait" in next(each for each in shown if isinstance(each, str))


def test_it_is_committed_without_results():
    """What somebody's lake held is nobody else's business."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
