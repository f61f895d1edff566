"""What `run` with its embedded sandbox ends with: what the lake holds, an answer, a proof, and what to type next."""

import json
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Final

from wgtwo_pipeline.ask import query, status
from wgtwo_pipeline.ask.views import Views
from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.run.config import Config

ANSWERS: Final = (
    (
        "How long do text messages take to arrive?",
        """\
SELECT status, count(*) AS messages,
       round(median(epoch(r.timestamp - s.timestamp)), 3) AS median_seconds
FROM sms s JOIN sms_delivery_report r ON r.sms_id = s.id
GROUP BY status ORDER BY messages DESC""",
    ),
    (
        "What happens how often?",
        """\
SELECT type, count(*) AS events, max(timestamp) AS newest
FROM events GROUP BY type ORDER BY events DESC LIMIT 5""",
    ),
)
"""A question and its SQL; the first that has an answer is asked."""


def show(config: Config) -> int:
    """Prints it; returns 1 where the audit finds a difference. Blocks for a second or two. Raises LakeError."""
    store = open_to_read(config.lake)
    held = status.collect(store)
    if not held.epochs:
        _print(*status.to_text(held))
        return 0
    _print("", f"The lake {held.lake} holds", "", *status.tables_text(held), "")
    with Views(store) as views:
        views.define(views.names)
        for question, sql in ANSWERS:
            answer = query.answer(views, sql).read_all()
            if len(answer):
                _print(question, "", textwrap.indent(sql, "  "), "")
                query.show(answer.to_reader(), sys.stdout)
                break
    findings, ledger = audit.examine(store)
    _print("", *audit.to_text(findings, ledger, held.gaps), "")
    program, lake = _program(), _lake_options(config.lake)
    _print(
        "Next:",
        f'  ask anything          {program} query{lake} "FROM sms LIMIT 3"',
        f"  see what there is     {program} status{lake}",
        f"  prove every row       {program} audit --deep{lake}",
        f"  read it with pandas   {_pandas(store, min(held.tables, key='sms'.__ne__, default='sms'))}",
        f"  with a real service   {program} run --endpoint HOST:PORT{lake}",
    )
    return 1 if findings.total else 0


def _program() -> str:
    """How this program can be called from here."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{Path(sys.executable).name} -m wgtwo_pipeline"
    return called.name if shutil.which(called.name) else str(called)


def _pandas(store: Store, table: str) -> str:
    """A line for a shell that shows a table with pandas and nothing of ours."""
    folder = store.uri(f"tables/{table}")
    if "://" not in folder and Path(folder).is_relative_to(Path.cwd()):
        folder = str(Path(folder).relative_to(Path.cwd()))
    return f"python -c {shlex.quote(f'import pandas; print(pandas.read_parquet({json.dumps(folder)}))')}"


def _lake_options(lake: LakeLocation) -> str:
    options = {"--lake": lake.url if lake.url != "./lake" else None}
    options |= {"--s3-endpoint": lake.s3_endpoint, "--s3-region": lake.s3_region}
    return "".join(f" {name} {shlex.quote(value)}" for name, value in options.items() if value)


def _print(*lines: str) -> None:
    sys.stdout.writelines(line + "\n" for line in lines)
