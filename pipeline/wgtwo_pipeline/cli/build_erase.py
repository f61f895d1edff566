"""What `erase` was asked for, checked; no refusal shows what may be somebody's number."""

from wgtwo_pipeline.cli.build import build, refuse_unused
from wgtwo_pipeline.cli.command import Settings
from wgtwo_pipeline.erase.settings import ByHand
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events.numbers import canonical
from wgtwo_pipeline.machine import at_home
from wgtwo_pipeline.run.config import Asked


def build_erasing(settings: Settings) -> Asked:
    """What `erase` was asked for; ConfigurationError names what cannot work."""
    numbers, tenant, everyone = settings["numbers"], settings["tenant"], settings["all"]
    if everyone and tenant is None:
        raise ConfigurationError(
            "--all needs --tenant NAME: it erases everybody's events on that operator's word"
        )
    if tenant is not None and everyone == (numbers is not None):
        raise ConfigurationError("--tenant needs either --numbers FILE, or --all")
    if numbers is None:
        refuse_unused(settings, ("everywhere",), "needs --numbers FILE")
        if not everyone:
            refuse_unused(settings, ("before",), "needs --numbers FILE")
    if numbers not in (None, "-") and not at_home(numbers).is_file():
        raise ConfigurationError(
            f"--numbers {_shown(numbers)} is no file: name one with a phone number a line, or -"
        )
    by_hand = ByHand(numbers, settings["before"], settings["everywhere"], tenant, everyone)
    return Asked(
        config=build(settings),
        by_hand=by_hand if numbers or everyone else None,
        dry_run=settings["dry-run"],
        receipts=settings["receipts"],
        json=settings["json"],
    )


def _shown(file: str) -> str:
    """Somebody may have given a number where a file is meant; no number is shown."""
    return "***" if canonical(file, "text") else file
