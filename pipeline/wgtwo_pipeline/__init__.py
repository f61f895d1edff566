"""Stores wgtwo's telecom events as partitioned Parquet, exactly once.

`from wgtwo_pipeline import Lake` reads a lake (docs/python.md). It is imported when it is asked for: whatever else
imports the package, as each command does, must not wait for Arrow.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wgtwo_pipeline.interactive import Lake

__all__ = ["Lake"]


def __getattr__(name: str) -> Any:
    if name != "Lake":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wgtwo_pipeline.interactive import Lake

    return Lake


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
