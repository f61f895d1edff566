"""What was found out about one thing that a run needs, and how it is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wgtwo_pipeline.errors import PipelineError

_WIDTH = 13


@dataclass(frozen=True)
class Finding:
    """One line. `passed` None: not tried, and `says` why; False: `says` carries the fix."""

    name: str
    passed: bool | None
    says: str

    def __str__(self) -> str:
        mark = {True: "✓", False: "✗", None: "–"}[self.passed]
        return f"{mark} {self.name.ljust(_WIDTH)} {' '.join(self.says.split())}"

    def to_json(self) -> dict[str, Any]:
        """As `check --json` has it; keys stay, new ones may come."""
        return {"name": self.name, "passed": self.passed, "says": self.says}


def tried(name: str, attempt: Callable[[], str]) -> Finding:
    """Passed with what the attempt says, unless it raises PipelineError, whose message names the fix."""
    try:
        return Finding(name, True, attempt())
    except PipelineError as error:
        return Finding(name, False, str(error))


def not_tried(name: str, why: str) -> Finding:
    """Neither passed nor failed."""
    return Finding(name, None, why)
