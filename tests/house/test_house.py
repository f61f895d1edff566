"""The house stands as its plan says: floors, circles, docstrings, sizes."""

import ast
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pipeline" / "wgtwo_pipeline"

MODULES = sorted(PACKAGE.rglob("*.py"))
PYTHON = [
    path
    for folder in ("pipeline", "tests", "examples", "benchmarks", "infra")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
FAMILIES = [path for path in MODULES if path.name == "__init__.py" and path.parent != PACKAGE]


def contracts_kept(root: Path) -> bool:
    linter = Path(sys.executable).with_name("lint-imports")
    environment = {"PYTHONPATH": str(root / "pipeline"), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [linter, "--no-logo"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert "Contracts:" in ended.stdout, ended.stdout + ended.stderr
    return ended.returncode == 0


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "pipeline" / "wgtwo_pipeline", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize(
    ("module", "line"),
    [
        (None, None),
        ("events/wire.py", "from wgtwo_pipeline.lake import journal"),
        ("audit/lists.py", "from wgtwo_pipeline.ask import render"),
        ("publish/write.py", "from wgtwo_pipeline.publish import rooms"),
        ("sandbox/events/kinds.py", "from wgtwo_pipeline.sandbox.broker import engine"),
        ("lake/store.py", "import apache_beam"),
    ],
    ids=[
        "as it is",
        "a floor turned round",
        "a sibling",
        "a circle",
        "a floor of the sandbox",
        "a helper that knows Beam",
    ],
)
def test_the_contract_refuses_an_import_turned_round(copy, module, line):
    """`make check` passes as the house stands, and fails as soon as one import goes up, sideways or round."""
    if module is None:
        assert contracts_kept(copy)
        return
    path = copy / "pipeline" / "wgtwo_pipeline" / module
    before = path.read_text()
    path.write_text(f"{before}\n{line}\n")
    try:
        assert not contracts_kept(copy)
    finally:
        path.write_text(before)


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: str(path.parent.relative_to(PACKAGE)))
def test_a_family_says_what_it_does(path):
    """Each folder's docstring says what may be imported and which file to open first, and exports nothing."""
    body = ast.parse(path.read_text()).body
    assert len(body) == 1, "it exports nothing"
    docstring = body[0].value.value
    assert "Open first: `" in docstring
    assert "May import: " in docstring


LONG = [path for path in PYTHON if len(path.read_text().splitlines()) > 300]


@pytest.mark.parametrize("path", LONG, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_long_file_says_why(path):
    """No file is over 300 lines without a reason in its docstring."""
    assert "over 300 lines" in (ast.get_docstring(ast.parse(path.read_text())) or "")


def test_a_test_is_known_by_its_file_s_name():
    """pytest imports them by name: two of one name cannot be collected together."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    twice = {name for name, times in names.items() if times > 1}
    assert twice <= {"conftest.py", "sitecustomize.py"}


def test_the_map_has_every_folder():
    """CONTRIBUTING.md says of each what it is: a stranger begins there."""
    lines = (ROOT / "CONTRIBUTING.md").read_text().splitlines()
    mapped = {line.split("`")[1].rstrip("/") for line in lines if line.startswith("| `")}
    assert mapped == {path.parent.name for path in FAMILIES if path.parent.parent == PACKAGE}
