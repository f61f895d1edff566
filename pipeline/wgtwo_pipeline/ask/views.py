"""The lake as DuckDB views: one per table, `events`, `quarantine` and `journal`.

The views read the files themselves, as any other reader would; they need no manifest. With `fresh` they also
hold what is journaled and not yet published, each event once.
"""

# Names in SQL come from descriptors, texts are quoted; the database holds nothing but these views.
# ruff: noqa: S608

import contextlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from wgtwo_pipeline.ask import backlog
from wgtwo_pipeline.events.tables import QUARANTINE, catalog, current_descriptors
from wgtwo_pipeline.lake import deduplicate, epochs
from wgtwo_pipeline.lake.duck import database, literal, read_parquet
from wgtwo_pipeline.lake.layout import FilePath
from wgtwo_pipeline.lake.manifest import TableFile
from wgtwo_pipeline.lake.store import Store

_EVENT_COLUMNS = (
    "timestamp",
    "received_at",
    "sequence",
    "service_id",
    "owner_phone_number",
    "owner_sub",
    "event_id",
    "subscription",
    "date",
)
"""What `events` shows of any table, besides its `type`; null where a table has no such column."""


class Views:
    """An in-memory database with views of one lake; a context manager. Reads nothing until `define`.

    From then on `published` has the files that a view shows, by table; `files.ask` may read them as well.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables, self._changed = _tables(store)
        self.published: dict[str, list[str]] = {}
        self._exit = contextlib.ExitStack()
        self.files = self._exit.enter_context(database(store))
        self.connection = self.files.connection

    def __enter__(self) -> "Views":
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    @property
    def names(self) -> list[str]:
        """Every view there can be."""
        return [*self._tables, "events", "quarantine", "journal"]

    def named_in(self, sql: str) -> list[str]:
        """The views that a query reads; all where that cannot be told."""
        try:
            mentioned = {name.lower() for name in self.connection.get_table_names(sql)}
        except duckdb.Error:
            return self.names
        chosen = [name for name in self.names if name in mentioned]
        return chosen if chosen and len(chosen) == len(mentioned) else self.names

    def define(self, names: Iterable[str], *, fresh: bool = False) -> None:
        """Creates these views, then lets the connection read nothing but the lake. Call it once.

        The views show one moment: files that come later are not in them. Raises LakeError.
        """
        views = set(names)
        tables = [name for name in self._tables if name in views or "events" in views]
        self._run("CREATE SCHEMA waiting")
        for name, schema in [*self._tables.items(), ("quarantine", QUARANTINE), ("journal", backlog.JOURNAL)]:
            self._load(f"CREATE TABLE waiting.{name} AS FROM arrived", schema.empty_table())
        # First the journal, then the files: what is published in between is in both, and is dropped again. The
        # other way round it would be in neither.
        if fresh or "journal" in views:
            decoded = {*tables, *(views & {"quarantine"})} if fresh else set()
            for name, rows in backlog.rows(self._store, {*decoded, *(views & {"journal"})}):
                self._load(f"INSERT INTO waiting.{name} BY NAME FROM arrived", rows)
        for name in tables:
            self._define_table(name)
        if "quarantine" in views:
            self._define_quarantine()
        if "journal" in views:
            self._run("CREATE VIEW journal AS FROM waiting.journal")
        if "events" in views:
            self._run(f"CREATE VIEW events AS {' UNION ALL '.join(map(self._as_events, tables))}")
        self._run(f"SET allowed_directories = [{literal(self._store.uri(''))}]")
        self._run("SET enable_external_access = false")
        self._run("SET lock_configuration = true")

    def _run(self, sql: str, *parameters: Any) -> Any:
        return self.files.ask(lambda connection: connection.execute(sql, parameters))

    def _load(self, sql: str, rows: pa.Table) -> None:
        self.connection.register("arrived", rows)
        self._run(sql)
        self.connection.unregister("arrived")

    def _files(self, prefix: str) -> list[str]:
        """What is a table's file by its name: whatever else lies there changes no answer."""
        lake = self._store.uri("")
        root = re.sub(r"([*?[])", r"[\1]", self._store.uri(prefix))
        found = self._run("SELECT file FROM glob(?)", f"{root}**/*.parquet").fetchall()
        uris = sorted(uri for (uri,) in found if FilePath.parse(uri.removeprefix(lake)))
        self.files.watch(uris)
        return uris

    def _define_table(self, name: str) -> None:
        self.published[name] = files = self._files(f"tables/{name}/")
        hourly = [uri for uri in files if "/hour=" in uri]
        daily = [uri for uri in files if "/hour=" not in uri]
        # Opening every file to compare their columns is only worth it where they can differ.
        by_name = name in self._changed
        published = [read_parquet(part, by_name=by_name) for part in (daily, hourly) if part]
        self._drop_known(name, published)
        hour = ", date_part('hour', timestamp)::INTEGER AS hour" if hourly else ""
        waiting = f"SELECT *{hour} FROM waiting.{name}"
        self._run(f"CREATE VIEW {name} AS {' UNION ALL BY NAME '.join([waiting, *published])}")

    def _drop_known(self, name: str, published: Sequence[str]) -> None:
        """Of what waits, keeps the first delivery of each event that is not published already."""
        waiting = f"waiting.{name}"
        first, last = self._run(
            f"SELECT min(timestamp)::VARCHAR, max(timestamp)::VARCHAR FROM {waiting}"
        ).fetchone()
        if first is None:
            return
        identity = catalog(current_descriptors())[name].identity
        columns = ", ".join(identity)
        self._run(
            f"DELETE FROM {waiting} WHERE rowid NOT IN (SELECT min(rowid) FROM {waiting} GROUP BY {columns})"
        )
        same = " AND ".join(f"known.{column} IS NOT DISTINCT FROM {name}.{column}" for column in identity)
        near = (
            f"known.timestamp BETWEEN '{first}' AND '{last}' "
            f"AND known.date BETWEEN '{first[:10]}' AND '{last[:10]}'"
        )
        for source in published:
            self._run(
                f"DELETE FROM {waiting} WHERE EXISTS (SELECT 1 FROM ({source}) AS known WHERE {same} AND {near})"
            )

    def _define_quarantine(self) -> None:
        files = self._files("quarantine/")
        waiting = self.connection.sql("FROM waiting.quarantine").to_arrow_table().cast(QUARANTINE)
        if len(waiting):
            self._run("DELETE FROM waiting.quarantine")
            known = [_anytime(uri.removeprefix(self._store.uri(""))) for uri in files]
            self._load(
                "INSERT INTO waiting.quarantine FROM arrived",
                deduplicate.quarantine(self._store, waiting, known),
            )
        published = [read_parquet(files)] if files else []
        self._run(
            f"CREATE VIEW quarantine AS {' UNION ALL BY NAME '.join(['FROM waiting.quarantine', *published])}"
        )

    def _as_events(self, name: str) -> str:
        own = self._tables[name].names
        columns = [column if column in own else f"NULL AS {column}" for column in _EVENT_COLUMNS]
        return f"SELECT '{name}' AS type, {', '.join(columns)} FROM {name}"


def _tables(store: Store) -> tuple[dict[str, pa.Schema], set[str]]:
    """Every table with its columns, by all descriptors the lake was written with; and those that have changed."""
    names = [info.key.split("/")[1] for info in store.list("descriptors/")]
    kept = [epochs.descriptors(store, name.removesuffix(".binpb")) for name in names]
    schemas: dict[str, pa.Schema] = {}
    changed = set()
    for descriptors in [current_descriptors(), *kept]:
        for name, table in catalog(descriptors).items():
            if schemas.setdefault(name, table.schema) != table.schema:
                schemas[name] = pa.unify_schemas([schemas[name], table.schema])
                changed.add(name)
    return schemas, changed


def _anytime(key: str) -> TableFile:
    """A file of the quarantine of which only its name is known."""
    path = FilePath.parse(key)
    assert path, key
    start = datetime.combine(path.day, time.min, UTC)
    return TableFile(key, path.table, path.day, 0, 0, "", start, start + timedelta(days=1))
