"""What `register` was asked for, checked."""

from wgtwo_pipeline.cli.build import lake_of
from wgtwo_pipeline.cli.command import Settings
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.register.settings import LAKE, Registering


def build_registering(settings: Settings) -> Registering:
    """What `register` was asked for; ConfigurationError names what cannot work."""
    catalog, compact = settings["catalog"] or LAKE, settings["compact"]
    if compact and catalog != LAKE:
        raise ConfigurationError(
            f"{settings.origin('compact')} works in the lake's own catalog only: let an engine of "
            f"{settings.origin('catalog')} {catalog} compact there"
        )
    return Registering(lake_of(settings), catalog, compact, settings["metrics-file"])
