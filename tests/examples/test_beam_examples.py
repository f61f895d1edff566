"""The examples of Beam pipelines, run as their first lines say, over the lake that the sandbox has filled."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from patience import PATIENCE_SECONDS, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"

COUNTS = """
    SELECT strftime(date_trunc('minute', timestamp AT TIME ZONE 'UTC'), '%Y-%m-%dT%H:%M:%S') AS minute,
           direction, count(*) AS messages
    FROM sms
    GROUP BY ALL
    ORDER BY ALL"""


@pytest.fixture
def counts(lake):
    """What SQL over the same tables says: it must be more than nothing."""
    found = [tuple(row.values()) for row in lake.sql(COUNTS).to_pylist()]
    assert sum(messages for *_, messages in found) > 20
    return found


def python(*arguments):
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


@contextmanager
def endless(folder, *arguments):
    """Goes on until the end of the block; gives the whole lines that it has printed so far."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen([sys.executable, *map(str, arguments)], stdout=out, stderr=err)
    try:
        yield lambda: (folder / "out").read_text().split("\n")[:-1]
        assert process.poll() is None, (folder / "err").read_text()
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


@pytest.mark.usefixtures("beside_lake")
def test_counts_are_those_of_sql(lake, counts, tmp_path):
    """A row for each minute and direction, in the form that BigQuery loads."""
    last = lake.status()["epochs"]
    program = EXAMPLES / "windowed_counts.py"
    python(program, "--stop-epoch", last, "--output", tmp_path / "counts", "--runner", "FnApiRunner")
    lines = [line for path in tmp_path.glob("counts*.json") for line in path.read_text().splitlines()]
    rows = [json.loads(line) for line in lines]
    assert (
        sorted((row["minute"].removesuffix("+00:00"), row["direction"], row["messages"]) for row in rows)
        == counts
    )


@pytest.mark.usefixtures("beside_lake")
def test_counts_without_a_line_of_python(lake, counts, tmp_path):
    """The same in Beam YAML, with the provider file of the package, by Beam's own program."""
    variables = {"lake": "./lake", "last_epoch": lake.status()["epochs"], "output": str(tmp_path / "counts")}
    python(
        *("-m", "apache_beam.yaml.main", "--runner=FnApiRunner"),
        f"--yaml_pipeline_file={EXAMPLES / 'sms_per_minute.yaml'}",
        f"--jinja_variables={json.dumps(variables)}",
    )
    rows = [row for path in tmp_path.glob("counts*") for row in pq.read_table(path).to_pylist()]
    assert (
        sorted((row["minute"].removesuffix("Z"), row["direction"], row["messages"]) for row in rows) == counts
    )


@pytest.mark.usefixtures("beside_lake")
def test_alerts_are_who_arrived_abroad(lake, tmp_path):
    """All of them, from the journal, though most is published by now; those who came home are none."""
    sql = "SELECT msisdn, current_name, current_code FROM country_change"
    arrived = [tuple(row.values()) for row in lake.sql(sql).to_pylist()]
    abroad = sorted((number, name) for number, name, code in arrived if code != "NO")
    assert abroad
    program = EXAMPLES / "roaming_alerts.py"
    with endless(tmp_path, program, "--home", "NO", "--runner", "FnApiRunner") as lines:
        wait_until(lambda: len({json.loads(line)["id"] for line in lines()}) >= len(abroad))
    alerts = {alert["id"]: alert for alert in map(json.loads, lines())}
    assert sorted((alert["number"], alert["to"]) for alert in alerts.values()) == abroad
