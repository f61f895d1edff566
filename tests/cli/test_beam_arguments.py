"""Options of Beam go to Beam as they are; what neither side knows is refused."""

import pytest
from click.core import ParameterSource
from typed import settings
from wgtwo_pipeline.cli.beam_options import runner_name
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.cli.options import options_of
from wgtwo_pipeline.errors import ConfigurationError


@pytest.mark.parametrize(
    ("typed", "for_beam"),
    [
        (["--parallelism=2"], ("--parallelism=2",)),
        (["--parallelism", "2"], ("--parallelism", "2")),
        (["--streaming", "--lake", "x"], ("--streaming",)),
        (["--environment_type=EXTERNAL", "--lake=x"], ("--environment_type=EXTERNAL",)),
        (["--experiments=a", "--experiments=b"], ("--experiments=a", "--experiments=b")),
        (["--", "--parallelism=2", "--anything", "x"], ("--parallelism=2", "--anything", "x")),
    ],
)
@pytest.mark.parametrize("command", ["run", "ingest", "publish"])
def test_options_of_beam(command, typed, for_beam):
    """An option that Beam knows, and all after a lone dash pair, is kept as it was typed."""
    found = settings(command, *typed)
    assert found.beam_args == for_beam
    given = {option for option in options_of(command) if found.source(option) is ParameterSource.COMMANDLINE}
    assert given <= {"lake"}


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--paralelism=2"], "--paralelism is no option of run: did you mean --parallelism?"),
        (["--parallelism=two"], "Beam refuses its argument --parallelism: invalid int value: 'two': correct"),
        (["--parallelism", "two"], "Beam refuses its argument --parallelism: invalid int value: 'two'"),
        (["--", "--parallelism=two"], "Beam refuses its argument --parallelism: invalid int value: 'two'"),
        (["--parallelism"], "--parallelism needs a value"),
        (["--direct_running_mode=fast"], "--direct_running_mode: invalid choice: 'fast' (choose from"),
        (["--streaming=yes"], "Beam refuses its argument --streaming: ignored explicit argument 'yes'"),
        (["--publish_every=3s"], "--publish_every is no option of run: did you mean --publish-every?"),
        (["--qqqqqqq=3s"], "--qqqqqqq is no option of run: see wgtwo-pipeline run --help"),
    ],
)
def test_refusals(typed, message):
    """A mistake in an option of Beam's is found here and named, before Beam would print all it knows and exit."""
    with pytest.raises(ConfigurationError) as refusal:
        settings("run", *typed)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("DirectRunner", "DirectRunner"),
        ("flink", "FlinkRunner"),
        ("prismrunner", "PrismRunner"),
        ("PortableRunner", "PortableRunner"),
        ("my.module.Runner", "my.module.Runner"),
        ("apache_beam.runners.portability.prism_runner.PrismRunner", "PrismRunner"),
        ("SwitchingDirectRunner", "DirectRunner"),
    ],
)
def test_runners(given, name):
    """A runner is found under the names that Beam itself takes."""
    assert runner_name(given, "--runner") == name


def test_an_unknown_runner(capsys, monkeypatch):
    """A runner that Beam does not know is refused by who named it; the nearest one is suggested."""
    monkeypatch.setattr("wgtwo_pipeline.logs.setup_logging", lambda *_: None)
    monkeypatch.setenv("WGTWO_RUNNER", "FlinkRuner")
    assert main(["publish"]) == 2
    message = "error: WGTWO_RUNNER 'FlinkRuner' is no runner that Beam knows: did you mean FlinkRunner?\n"
    assert capsys.readouterr().err.endswith(message)
