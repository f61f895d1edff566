"""Publishes every quarter of an hour, erases and audits once a day: an example for Airflow 2.10 or newer, and 3.

`wgtwo-pipeline` must be on the workers' PATH; where it is in an image, take KubernetesPodOperator with the same
arguments. The variable `wgtwo_lake` of Airflow names the lake. `ingest` is no task: it never ends.
"""

from datetime import UTC, datetime, timedelta

try:
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

LAKE = "{{ var.value.wgtwo_lake }}"


def command(words: str) -> dict[str, object]:
    """What all tasks share: variables instead of flags, so that nothing of a lake's name is quoted by a shell."""
    return {
        "bash_command": f"exec wgtwo-pipeline {words}",  # exec: a task that is stopped gets the signal itself
        "env": {"WGTWO_LAKE": LAKE, "WGTWO_LOG_FORMAT": "json"},
        "append_env": True,
        "retries": 2,
        "retry_delay": timedelta(minutes=2),
    }


# Two at once, or one again after a failure, do no harm: each epoch is published once, whoever does it.
with DAG(
    "wgtwo_publish",
    schedule="*/15 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,  # one run publishes all that waits
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
):
    BashOperator(task_id="publish", **command("publish"))

with DAG(
    "wgtwo_daily",
    schedule="10 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
):
    erase = BashOperator(task_id="erase", **command("erase"))
    audit = BashOperator(task_id="audit", **command("audit --deep"))
    erase >> audit
