"""infra/'s units, cron lines and DAG: their command lines are those of this version, and nothing runs twice."""

import configparser
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from typed import settings
from wgtwo_pipeline.cli.main import program

INFRA = Path(__file__).resolve().parents[2] / "infra"
UNITS = sorted((INFRA / "systemd").glob("*.*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
INSTALLED = "/opt/wgtwo/bin/wgtwo-pipeline"
MOST_EXPOSED = 15
"""Of 100, as `systemd-analyze security` counts: a unit without hardening has 96, ours 14 for its network."""


def understood(words: list[str], environment: dict[str, str] | None = None) -> object:
    """What a command makes of a command line; ConfigurationError or SystemExit where it is none."""
    return program.commands[words[0]].request(settings(*words, environment=environment))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration as it stands on a host, with a secret beside it."""
    (tmp_path / "client-secret").write_text("hush")
    path = tmp_path / "pipeline.toml"
    path.write_text('endpoint = "api.wgtwo.com:443"\nlake = "s3://my-bucket/wgtwo"\nclient-id = "us"\n')
    return path


def read(unit: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), interpolation=None)
    parser.optionxform = str
    parser.read(unit)
    return parser


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_unit_starts_what_this_version_understands(unit, config):
    """Its command lines are parsed and built, with the credential as a file."""
    service = read(unit)["Service"]
    lines = [service[name] for name in ("ExecStartPre", "ExecStart") if name in service]
    for line in lines:
        words = shlex.split(
            line.replace("/etc/wgtwo-pipeline", str(config.parent)).replace(
                "${CREDENTIALS_DIRECTORY}", str(config.parent)
            )
        )
        assert words[0] == INSTALLED
        understood(words[1:])


def test_a_stop_has_the_time_that_a_drain_needs():
    """Only the supervisor gets the signal, and what cannot work is not tried for ever."""
    service = read(INFRA / "systemd" / "wgtwo-run.service")["Service"]
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"].removesuffix("s")) >= 60
    assert service["RestartPreventExitStatus"] == "2"


@pytest.mark.heavy
def test_systemd_finds_nothing_wrong(tmp_path):
    """`systemd-analyze verify` of all units together; and hardly anything that a unit does not need is left open."""
    analyze = shutil.which("systemd-analyze")
    assert analyze, "install systemd: .ci/debian.sh does"
    for unit in UNITS:
        text = unit.read_text().replace(INSTALLED, str(Path(sys.executable).with_name("wgtwo-pipeline")))
        (tmp_path / unit.name).write_text(text)
    copies = sorted(map(str, tmp_path.iterdir()))
    verified = subprocess.run(
        [analyze, "verify", "--man=no", *copies], capture_output=True, text=True, timeout=60
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    for copy in copies:
        if copy.endswith(".service"):
            judged = [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", copy]
            ended = subprocess.run(judged, capture_output=True, text=True, timeout=60)
            assert ended.returncode == 0, ended.stdout[-300:]


@pytest.mark.heavy
def test_systemd_finds_what_is_wrong(tmp_path):
    """The look above can fail: a misspelt setting is named."""
    unit = tmp_path / "wgtwo-run.service"
    text = (INFRA / "systemd" / unit.name).read_text().replace(INSTALLED, sys.executable)
    unit.write_text(text.replace("KillMode=mixed", "KillModes=mixed"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert "KillModes" in verified.stderr


def test_cron_lines_hold_a_lock_and_are_understood(config, tmp_path):
    """Each takes a lock of its own and runs nothing where it is taken: flock is tried for real."""
    text = (INFRA / "cron" / "wgtwo-pipeline").read_text()
    lines = re.findall(r"^[\d*].*$", text, re.MULTILINE)
    locks = set()
    for line in lines:
        *schedule, user, command = line.split(maxsplit=6)
        assert (len(schedule), user) == (5, "wgtwo")
        flock, *words = shlex.split(command)
        assert (flock, words[0], words[2]) == ("flock", "-n", "wgtwo-pipeline")
        locks.add(words[1])
        understood(words[3:], {"WGTWO_CONFIG": str(config), "WGTWO_LOG_FORMAT": "json"})
    assert len(locks) == len(lines) == 3
    inner = f"flock -n {tmp_path}/lock touch {tmp_path}/twice"
    held = subprocess.run(["flock", "-n", f"{tmp_path}/lock", "sh", "-c", inner], timeout=60)
    assert held.returncode == 1
    assert not (tmp_path / "twice").exists()


class Recorded:
    """Stands in for Airflow's DAG and operator: remembers what it was made with, and what follows it."""

    made: list["Recorded"] = []  # noqa: RUF012 # emptied by the fixture

    def __init__(self, *words: str, **settings: object) -> None:
        self.words, self.settings, self.followed_by = words, settings, []
        Recorded.made.append(self)

    def __enter__(self) -> "Recorded":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __rshift__(self, other: "Recorded") -> "Recorded":
        self.followed_by.append(other)
        return other


@pytest.fixture(params=["airflow 2", "airflow 3"])
def dag(request, monkeypatch) -> SimpleNamespace:
    """The example as Airflow would import it. Airflow itself is hundreds of packages: two classes stand in for it."""
    modules = {
        "airflow 2": {"airflow": "DAG", "airflow.operators.bash": "BashOperator"},
        "airflow 3": {"airflow.sdk": "DAG", "airflow.providers.standard.operators.bash": "BashOperator"},
    }[request.param]
    for name, attribute in modules.items():
        for parent in [".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 2)]:
            if parent not in sys.modules:
                monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
        monkeypatch.setattr(sys.modules[name], attribute, Recorded, raising=False)
    Recorded.made.clear()
    runpy.run_path(str(INFRA / "airflow" / "wgtwo_pipeline.py"))
    dags = {each.words[0]: each.settings for each in Recorded.made if each.words}
    tasks = {each.settings["task_id"]: each for each in Recorded.made if not each.words}
    return SimpleNamespace(dags=dags, tasks=tasks)


def test_the_airflow_example(dag):
    """Its tasks are commands of this version, one run at a time, none made up for; audit comes after erase."""
    assert set(dag.dags) == {"wgtwo_publish", "wgtwo_daily"}
    assert all(each["max_active_runs"] == 1 and each["catchup"] is False for each in dag.dags.values())
    assert set(dag.tasks) == {"publish", "erase", "audit"}
    assert dag.tasks["erase"].followed_by == [dag.tasks["audit"]]
    for task in dag.tasks.values():
        program_name, *words = shlex.split(task.settings["bash_command"].removeprefix("exec "))
        assert program_name == "wgtwo-pipeline"
        environment = {**task.settings["env"], "WGTWO_LAKE": "s3://bucket/lake"}
        assert understood(words, environment).lake.url == "s3://bucket/lake"
