"""What the supervisor's children have told, as the figures, probes and members that `watch` shows.

Counters of a child that was replaced count on; gauges of one that is gone vanish.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from wgtwo_pipeline.metrics.samples import Buckets, Samples
from wgtwo_pipeline.metrics.table import JOB, MEMBER, Metric, of_children
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.watch.members import Member

_TURN_SECONDS: Final = 10.0
"""The supervisor's loop turns ten times a second; one that has not for so long hangs."""
_IS_MEMBER: Final = "stream_connected"
"""The fact that only members of a subscription tell."""


class Told(Protocol):
    """What is needed of a child process."""

    name: str
    facts: dict[str, Any]

    @property
    def pid(self) -> int | None:
        """Its process."""

    @property
    def running(self) -> bool:
        """Whether it is there."""


@dataclass(frozen=True)
class _Turn:
    """The children at one turn of the loop."""

    at: float
    facts: Mapping[str, Mapping[str, Any]]
    pids: Mapping[str, int]
    expected: int
    """How many members there should be."""


@dataclass
class Figures:
    """Written by the supervisor's loop, read by the threads that answer; see `watch.server.Pipeline`."""

    config: Config
    _ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    _restarts: dict[str, int] = field(default_factory=dict)
    _turn: _Turn = field(default_factory=lambda: _Turn(time.monotonic(), {}, {}, 0))
    _stopping: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turned(self, children: Iterable[Told], members: int) -> None:
        """Notes what the children have told by now. To be called at each turn of the loop."""
        there = [child for child in children if child.running]
        turn = _Turn(
            at=time.monotonic(),
            facts={child.name: dict(child.facts) for child in there},
            pids={child.name: child.pid for child in there if child.pid is not None},
            expected=members,
        )
        with self._lock:
            self._turn = turn

    def replaced(self, child: Told) -> None:
        """Notes that a child died and another takes its place: what it counted goes on counting."""
        with self._lock:
            self._restarts[child.name] = self._restarts.get(child.name, 0) + 1
        self.ended(child)

    def ended(self, child: Told) -> None:
        """Notes that a child has ended: what it counted goes on counting, and when a job last did its work stays."""
        with self._lock:
            known = self._ended.get(child.name, {})
            kept: dict[str, Any] = {
                "subscription": child.facts.get("subscription", known.get("subscription"))
            }
            for metric in of_children():
                before, now = known.get(metric.fact), child.facts.get(metric.fact)
                if metric.kind != "gauge":
                    kept[metric.fact] = _plus(before, now)
                elif metric.of == JOB:
                    kept[metric.fact] = before if now is None else now
            self._ended[child.name] = kept
            self._turn = replace(
                self._turn,
                facts={name: facts for name, facts in self._turn.facts.items() if name != child.name},
                pids={name: pid for name, pid in self._turn.pids.items() if name != child.name},
            )

    def stopping(self) -> None:
        """Notes that what was received is being finished: nothing is ready any more, and all is well."""
        self._stopping = True

    def live(self) -> Sequence[str]:
        """Why this process should be started again."""
        quiet_seconds = time.monotonic() - self._turn.at
        if self._stopping or quiet_seconds < _TURN_SECONDS:
            return ()
        return (f"the supervisor's loop has not turned for {quiet_seconds:.0f} s",)

    def ready(self) -> Sequence[str]:
        """Why events do not become durable and acked, member by member."""
        if self._stopping:
            return ("stopping: what was received is being finished",)
        found = list(self.live())
        turn = self._turn
        members = {name: facts for name, facts in turn.facts.items() if _IS_MEMBER in facts}
        for name, facts in members.items():
            found += [f"{name}: {problem}" for problem in self._problems(facts)]
        jobs = [name for name, facts in turn.facts.items() if name == "ingest-job" and "streams" in facts]
        if len(members) + len(jobs) < turn.expected or not turn.expected:
            found.append(f"{len(members) + len(jobs)} of {turn.expected} members are there")
        return found

    def _problems(self, facts: Mapping[str, Any]) -> Iterator[str]:
        if not facts[_IS_MEMBER]:
            yield "no confirmed stream"
        yield from facts.get("problems", {}).values()
        subscription = self.config.subscription
        oldest = facts.get("oldest_unacked_seconds", 0.0)
        if oldest >= subscription.ack_timeout_seconds:
            yield f"the oldest unacked delivery has waited {oldest:.0f} s, the ack timeout is over"
        covered = facts.get("covered_until")
        behind = time.time() - covered if covered is not None else 0.0
        if behind > self.history_seconds / 2:
            left = max(0.0, self.history_seconds - behind)
            yield f"what came in the last {behind:.0f} s is not covered; events are lost in {left:.0f} s"

    @property
    def history_seconds(self) -> float:
        """How long the service keeps events."""
        return self.config.subscription.history_seconds

    @property
    def members(self) -> Sequence[Member]:
        """Those that have told of their stream."""
        return [
            Member(
                name=name,
                subscription=str(facts["subscription"]),
                connected=bool(facts[_IS_MEMBER]),
                received=int(facts.get("received", 0)),
                acked=int(facts.get("acked", 0)),
                in_flight=int(facts.get("in_flight", 0)),
                oldest_unacked_seconds=float(facts.get("oldest_unacked_seconds", 0.0)),
                covered_until=facts.get("covered_until"),
            )
            for name, facts in sorted(self._turn.facts.items())
            if _IS_MEMBER in facts
        ]

    def add_to(self, samples: Samples) -> None:
        """The figures of all children, of the supervisor, and how often each child was replaced."""
        with self._lock:
            turn, ended, restarts = self._turn, dict(self._ended), dict(self._restarts)
        for name in sorted({*turn.facts, *ended}):
            now, before = turn.facts.get(name, {}), ended.get(name, {})
            for metric in of_children():
                self._add(samples, metric, name, now, before)
        for name in {*turn.facts, *restarts}:
            samples.add("child_restarts_total", restarts.get(name, 0), child=name)
        for name, pid in {"supervisor": os.getpid(), **turn.pids}.items():
            for what, value in _of_process(pid):
                samples.add(what, value, process=name)

    def _add(
        self, samples: Samples, metric: Metric, child: str, now: Mapping[str, Any], before: Mapping[str, Any]
    ) -> None:
        value = now.get(metric.fact)
        if metric.kind != "gauge":
            value = _plus(before.get(metric.fact), value)
        elif metric.of == JOB and value is None:
            value = before.get(metric.fact)
        elif _IS_MEMBER in now and value is None:
            value = self._configured(metric.fact)
        if value is None:
            return
        labels = {}
        if metric.of == MEMBER:
            subscription = now.get("subscription", before.get("subscription"))
            if subscription is None:  # it has not said yet whose member it is
                return
            labels = {"subscription": str(subscription), "member": child}
        labels = {name: value for name, value in labels.items() if name in metric.labels}
        if metric.kind == "histogram":
            samples.add(metric.name, Buckets(value["counts"], value["sum"]), **labels)
        elif isinstance(value, Mapping):
            (own,) = set(metric.labels) - set(labels)
            for label, each in value.items():
                samples.add(metric.name, each, **labels, **{own: label})
        else:
            samples.add(metric.name, value, **labels)

    def _configured(self, fact: str) -> float | None:
        subscription = self.config.subscription
        return {
            "max_in_flight": subscription.max_in_flight,
            "ack_timeout_seconds": subscription.ack_timeout_seconds,
            "history_seconds": subscription.history_seconds,
        }.get(fact)


def _plus(known: Any, more: Any) -> Any:
    """The sum of two values of a counter: numbers, counts by label, or the buckets of a histogram."""
    if known is None or more is None:
        return known if more is None else more
    if isinstance(known, Mapping):
        return {name: _plus(known.get(name), more.get(name)) for name in {*known, *more}}
    if isinstance(known, list):
        return [one + other for one, other in zip(known, more, strict=True)]
    return known + more


def _of_process(pid: int) -> Iterator[tuple[str, float]]:
    """Memory and processor time of a process, by the kernel; nothing where it does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError, ValueError):
        return
    yield "process_resident_memory_bytes", pages * os.sysconf("SC_PAGE_SIZE")
    yield "process_cpu_seconds_total", (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
