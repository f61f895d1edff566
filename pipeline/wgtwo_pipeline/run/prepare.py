"""What `run`, `ingest` and `publish` look at before anything is started."""

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.lake.open import open_to_write
from wgtwo_pipeline.run import cluster
from wgtwo_pipeline.run.config import Config


def prepared(config: Config) -> Config:
    """The configuration with what only a cluster can tell. Raises ConfigurationError or LakeError naming the fix."""
    if cluster.is_remote(config):
        config = cluster.prepared(config)
    elif config.detach:
        raise ConfigurationError(
            "--detach leaves the job to a cluster: name one, such as --runner=FlinkRunner --flink_master=HOST:PORT"
        )
    elif any(each.startswith(("--runner=PrismRunner", "--prism_location")) for each in config.beam_args):
        from wgtwo_pipeline.run import jobs

        jobs.options(config, streaming=False)
    open_to_write(config.lake)
    return config
