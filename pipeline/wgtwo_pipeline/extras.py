"""The extras: packages that only some commands need. What is missing is named by the error, with what to type.

A plain `pip install wgtwo-pipeline` brings all but `iceberg` and `report`; a worker, which ingests and publishes,
does without.
"""

import importlib.util
from typing import Final

from wgtwo_pipeline.errors import ConfigurationError

EXTRAS: Final = {
    "iceberg": ("pyiceberg",),
    "query": ("duckdb", "fsspec"),
    "report": ("matplotlib",),
    "sandbox": ("cryptography", "grpc_health", "grpc_reflection"),
}
"""What each extra of `pyproject.toml` brings, as it is imported."""


def require(*extras: str) -> None:
    """Before any work: raises ConfigurationError where a module of these extras is not installed."""
    missing = [module for extra in extras for module in EXTRAS[extra] if not _is_installed(module)]
    if missing:
        raise _not_installed(missing)


def explained(error: Exception) -> Exception:
    """The error itself; or, where it says that a module of an extra was not found, one that says what to install."""
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return _not_installed([module]) if any(module in modules for modules in EXTRAS.values()) else error


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _not_installed(modules: list[str]) -> ConfigurationError:
    extras = [extra for extra, of_extra in EXTRAS.items() if set(modules) & set(of_extra)]
    verb = "is" if len(modules) == 1 else "are"
    return ConfigurationError(
        f'{", ".join(modules)} {verb} not installed: pip install "wgtwo-pipeline[{",".join(extras)}]"'
    )
