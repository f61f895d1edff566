"""The admin page and its JSON API: shows what the sandbox does, and changes it.

    GET  /                       the page
    GET  /state                  counts, channels, groups, members, faults
    GET  /options                every fault with its kind and help
    GET  /events?after=N&limit=N emitted events from number N + 1 on, JSON lines, 1,000 unless told
    GET  /unacked?group=N        [type, sequence] of what the group was sent and has not acked
    GET  /acked?group=N          [type, sequence] of what the group has acked
    POST /faults                 {"drop_acks": 0.1, …}
    POST /rate                   {"rate": 200}
    POST /clock                  {"advance_seconds": 1200}
    POST /events                 {"type": "consent_revoke", "event": {…}, "identifier": ""}: publishes one event,
                                 the JSON of v0's Event or of v1's stream response
    POST /streams/cut            ends every stream now
    POST /connections/reset      resets every connection now (Linux)

Whoever reaches the address may use it, so it listens on loopback unless told otherwise, and refuses requests that a
foreign web page makes a browser send.
"""

import json
from collections.abc import Callable
from dataclasses import fields
from importlib import resources
from typing import Any

from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass
from wgtwo.consents.v1 import consent_events_pb2 as consents_v1
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription_v1

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.sandbox.broker.state import acked, described, emitted, state, unacked
from wgtwo_pipeline.sandbox.events.kinds import KINDS
from wgtwo_pipeline.sandbox.events.make import Made
from wgtwo_pipeline.sandbox.options import OPTIONS, Faults
from wgtwo_pipeline.web import Answer, Request, is_foreign, json_answer

EVENTS_AT_ONCE = 1000


class Admin:
    """Answers the admin's requests; `reset` resets the service's connections and returns how many."""

    def __init__(self, core: Core, reset: Callable[[], int]) -> None:
        self._core = core
        self._reset = reset
        self._routes: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("GET", "/"): lambda _: Answer(_page(), content_type="text/html; charset=utf-8"),
            ("GET", "/state"): lambda _: json_answer(state(core)),
            ("GET", "/options"): lambda _: json_answer(_fault_options()),
            ("GET", "/events"): self._events,
            ("GET", "/unacked"): lambda request: json_answer(unacked(core, _group(core, request))),
            ("GET", "/acked"): lambda request: json_answer(list(acked(core, _group(core, request)))),
            ("POST", "/faults"): self._change_faults,
            ("POST", "/rate"): self._change_rate,
            ("POST", "/clock"): self._advance,
            ("POST", "/events"): self._publish,
            ("POST", "/streams/cut"): self._cut,
            ("POST", "/connections/reset"): lambda _: json_answer({"reset": self._reset()}),
        }

    def answer(self, request: Request) -> Answer:
        """Answers; a wrong request gets a 4xx with an `error` that says what is right."""
        if is_foreign(request):
            return json_answer({"error": "requests from other web pages and host names are refused"}, 403)
        route = self._routes.get((request.method, request.path))
        if route is None:
            known = sorted(f"{method} {path}" for method, path in self._routes)
            return json_answer({"error": f"there is {', '.join(known)}"}, 404)
        try:
            return route(request)
        except KeyError as error:
            return json_answer({"error": f"{error} is missing, or there is none of that name"}, 400)
        except (ConfigurationError, ValueError, TypeError, json_format.ParseError) as error:
            return json_answer({"error": str(error)}, 400)

    def _events(self, request: Request) -> Answer:
        after = int(request.query.get("after", 0))
        limit = int(request.query.get("limit", EVENTS_AT_ONCE))
        lines = [json.dumps(described(event)) + "\n" for event in emitted(self._core, after, limit)]
        return Answer("".join(lines).encode(), content_type="application/x-ndjson")

    def _change_faults(self, request: Request) -> Answer:
        changes = _object(request)
        if "malform_kinds" in changes:
            changes["malform_kinds"] = tuple(changes["malform_kinds"])
        self._core.change_faults(changes)
        return json_answer(state(self._core)["faults"])

    def _change_rate(self, request: Request) -> Answer:
        rate = float(_object(request)["rate"])
        if not 0 <= rate < float("inf"):
            raise ValueError("rate is events per second, 0 or more")
        self._core.rate = rate
        return json_answer({"rate": rate})

    def _advance(self, request: Request) -> Answer:
        self._core.clock.advance(float(_object(request)["advance_seconds"]))
        self._core.engine.tick(self._core.clock.now_us())
        return json_answer({"now_us": self._core.clock.now_us()})

    def _publish(self, request: Request) -> Answer:
        asked = _object(request)
        kind = KINDS[asked["type"]]
        if kind.api == "v0":
            message: Any = v0.Event()
        else:
            file = (consents_v1 if kind.name == "consent_change_v1" else subscription_v1).DESCRIPTOR
            message = GetMessageClass(file.message_types_by_name[f"Stream{kind.method}EventsResponse"])()
        json_format.ParseDict(asked["event"], message)
        for delivery_field in ("metadata", "timestamp"):
            if delivery_field in message.DESCRIPTOR.fields_by_name:
                message.ClearField(delivery_field)
        return json_answer(described(self._core.publish(Made(kind, message, asked.get("identifier", "")))))

    def _cut(self, _: Request) -> Answer:
        return json_answer({"cut": self._core.cut_streams()})


def _page() -> bytes:
    return resources.files("wgtwo_pipeline.sandbox.web").joinpath("admin.html").read_bytes()


def _fault_options() -> list[dict[str, Any]]:
    names = {spec.name for spec in fields(Faults)}
    return [
        {"field": option.field, "kind": option.kind, "help": option.help}
        for option in OPTIONS
        if option.field in names
    ]


def _object(request: Request) -> dict[str, Any]:
    value = json.loads(request.body or b"{}")
    if not isinstance(value, dict):
        raise TypeError("send a JSON object")
    return value


def _group(core: Core, request: Request) -> int:
    number = int(request.query["group"])
    if number not in core.engine.groups:
        raise ValueError(f"there is no group {number}; see /state")
    return number
