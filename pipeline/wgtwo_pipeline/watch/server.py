"""What `--metrics-address` serves, read only:

    GET  /          a page for people
    GET  /metrics   for Prometheus
    GET  /livez     200 while this process works, whatever becomes of service and lake; else 503
    GET  /readyz    200 while events become durable and are acked; else 503 with the sentences why not
    GET  /status    JSON: what `status --json` prints of the lake, the members, what is wrong

Everything is what was last seen: no request asks the lake or the service. Whoever reaches the address may read it;
what a foreign web page makes a browser ask for is refused.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from wgtwo_pipeline import logs
from wgtwo_pipeline.ask.status import to_json
from wgtwo_pipeline.metrics.samples import Samples, build_info, written
from wgtwo_pipeline.watch.audits import AuditWatch
from wgtwo_pipeline.watch.lake import LakeWatch
from wgtwo_pipeline.watch.members import Member
from wgtwo_pipeline.watch.page import View, now, page
from wgtwo_pipeline.watch.recent import Recent
from wgtwo_pipeline.web import Answer, Request, WebServer, is_foreign, json_answer

_LOG = logging.getLogger(__name__)

OPTION: Final = "--metrics-address"
_FOREIGN: Final = "requests by foreign names are refused: use the address, localhost or a name without a dot"

_PAGE_HEADERS: Final = (
    ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
)
"""The page loads nothing, runs nothing, and is part of no other page."""


class Pipeline(Protocol):
    """What the processes of a pipeline do, as far as it is shown; may be asked by many threads at once."""

    def add_to(self, samples: Samples) -> None:
        """Their figures."""

    def live(self) -> Sequence[str]:
        """Why this process should be started again; nothing if it should not."""

    def ready(self) -> Sequence[str]:
        """Why events do not become durable and acked; nothing if they do."""

    @property
    def members(self) -> Sequence[Member]:
        """Those that there are."""

    @property
    def history_seconds(self) -> float:
        """How long the service keeps events."""


class Watch:
    """Serves a pipeline and its lake from threads of their own, from construction on. Close it in the end."""

    def __init__(
        self, address: str, pipeline: Pipeline, lake: LakeWatch, audits: AuditWatch | None = None
    ) -> None:
        self._pipeline, self._lake, self._audits = pipeline, lake, audits
        self._routes: Mapping[str, Callable[[Request], Answer]] = MappingProxyType(
            {
                "/": lambda _: self._page(),
                "/metrics": self._metrics,
                "/livez": lambda _: _probe(self._pipeline.live()),
                "/readyz": lambda _: _probe(self._pipeline.ready()),
                "/status": lambda _: json_answer(self.status()),
            }
        )
        self._server = WebServer(address, self.answer, OPTION)
        self.address = self._server.address
        self._recent = Recent(self.samples, pipeline.history_seconds)
        _LOG.info("figures and probes at http://%s/", self.address)

    def answer(self, request: Request) -> Answer:
        """Answers one request."""
        if is_foreign(request, takes_private_names=True):
            return json_answer({"error": _FOREIGN}, 403)
        if request.method != "GET":
            return json_answer({"error": "everything here is read only: use GET"}, 405)
        route = self._routes.get(request.path)
        if route is None:
            return json_answer({"error": f"there is {', '.join(self._routes)}"}, 404)
        return route(request)

    def samples(self) -> Samples:
        """All figures at this moment."""
        samples = Samples()
        build_info(samples)
        self._pipeline.add_to(samples)
        samples.add("ready", 0 if self._pipeline.ready() else 1)
        self._lake.add_to(samples)
        if self._audits:
            self._audits.add_to(samples)
        return samples

    def status(self) -> dict[str, Any]:
        """What `/status` answers; `lake` is null until it has been looked at."""
        seen = self._lake.seen
        return {
            "live": list(map(logs.redact, self._pipeline.live())),
            "ready": list(map(logs.redact, self._pipeline.ready())),
            "history_seconds": self._pipeline.history_seconds,
            "members": [vars(member) for member in self._pipeline.members],
            "lake": to_json(seen, self._pipeline.history_seconds) if seen else None,
            "lake_problems": self._lake.problems(),
        }

    def close(self) -> None:
        """Stops serving and looking."""
        self._recent.close()
        self._lake.close()
        if self._audits:
            self._audits.close()
        self._server.stop()

    def _page(self) -> Answer:
        view = View(
            at=now(),
            problems=[logs.redact(problem) for problem in self._pipeline.ready()],
            members=self._pipeline.members,
            history_seconds=self._pipeline.history_seconds,
            points=(*self._recent.points, self._recent.point()),
            lake=self._lake.seen,
            audited=self._audits.last if self._audits else None,
        )
        return Answer(page(view), content_type="text/html; charset=utf-8", headers=_PAGE_HEADERS)

    def _metrics(self, request: Request) -> Answer:
        body, content_type = written(self.samples(), request.headers.get("accept", ""))
        return Answer(body, content_type=content_type)


def _probe(problems: Sequence[str]) -> Answer:
    found = [logs.redact(problem) for problem in problems]
    return json_answer({"ok": not found, "problems": found}, 503 if found else 200)
