"""docs/troubleshooting.md says what the code says, and leaves nothing out."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipeline" / "wgtwo_pipeline"
ROWS = re.findall(r"^\| `([^|]+)` \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
ERRORS = {"LakeError", "ServiceError", "CorruptError", "JobError", "TokenUnavailableError"}
ROOMS = ("lake", "service", "run", "publish", "source")
TOO_SHORT = 12


def text(node):
    """The text that an expression makes, with … for what changes."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.JoinedStr(values=values):
            return "".join(each.value if isinstance(each, ast.Constant) else "…" for each in values)
        case ast.BinOp(op=ast.Add()):
            return text(node.left) + text(node.right)
    return "…"


def fragments(sentence):
    """Its parts that never change and are long enough to be told."""
    plain = re.sub(r"%(?:\.\d+)?[sdf]|`[^`]*`", "…", sentence)
    return [part for part in (each.strip(" ;:,.()`") for each in plain.split("…")) if len(part) >= TOO_SHORT]


def sources():
    for path in PACKAGE.rglob("*.py"):
        yield path, ast.parse(path.read_text())


@pytest.fixture(scope="module")
def said():
    """Every text in the code."""
    nodes = (node for _, tree in sources() for node in ast.walk(tree))
    return "\n".join(text(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr))


@pytest.mark.parametrize("row", ROWS)
def test_a_sentence_of_the_page_is_one_of_the_code(row, said):
    """Each part of each row stands in the code to the letter."""
    parts = fragments(row)
    assert parts, f"{row} has nothing that can be looked for"
    for part in parts:
        assert part in said, f"the code does not say {part!r}"


def test_no_sentence_of_the_code_is_missing():
    """Every error of the lake, the service, the publisher and the runners that carries a fix is on the page."""
    page = "\n".join(ROWS)
    missing = []
    for path, tree in sources():
        if path.relative_to(PACKAGE).parts[0] not in ROOMS:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                kind = getattr(node.exc.func, "id", "")
                parts = fragments(text(node.exc.args[0])) if kind in ERRORS else []
            elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                named = [getattr(target, "id", "") for target in targets]
                values = node.value.values if named == ["_FIXES"] else []
                parts = [part for value in values for part in fragments(text(value))]
            else:
                continue
            missing += [f"{path.name}: {part}" for part in parts if part not in page]
    assert not missing, "docs/troubleshooting.md lacks\n" + "\n".join(missing)
