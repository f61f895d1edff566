"""The stable name of each event that is logged: `event` in JSON logs, for alerts and searches.

Sentences may be said better in a newer version; names stay. Keyed by who says it (the logger) and by the sentence as
it stands in the code. A test holds that every sentence of the code has one, and docs/log-events.md each of them.
"""

from types import MappingProxyType
from typing import Final

# A table is read by its rows.
# fmt: off
EVENTS: Final = MappingProxyType({
    ("cli.main", "%s"): "command.failed",

    ("ingest.session", "subscribing to %s as member %d"): "stream.opening",
    ("ingest.session", "%s; subscribing again in %.1f s"): "stream.ended",
    ("ingest.session", "nothing is acked, the lake can't be written (try %d): %s"): "lake.write_failed",
    ("ingest.session", "the lake can be written again, after %d failed tries"): "lake.write_recovered",
    ("ingest.session", "a gap before now would go unnoticed, the lake does not say where it is: %s"):
        "gap.unnoticeable",
    ("ingest.worker", "the runner no longer asks for events; closing member %d"): "stream.abandoned",
    ("ingest.ack", "%d acks failed (%s); their events will come again"): "ack.failed",
    ("ingest.ack", "acking failed; the events will come again"): "ack.broke",
    ("ingest.ack", "the last acks were not answered in time; their events may come again"): "ack.unanswered_at_stop",

    ("lake.positions",
     ("GAP: events of %s from %s to %s may be lost: the service keeps them for a limited time only. "
      "`status` and `audit` show the gap from now on")): "gap.recorded",
    ("lake.epochs", "epoch %d is published without %d deliveries: %s"): "epoch.unreadable",
    ("lake.epochs", "epoch %d was sealed by another publisher first; its seal counts"): "epoch.sealed_elsewhere",
    ("lake.epochs", "epoch %d was committed by another publisher first"): "epoch.committed_elsewhere",
    ("lake.journal", "left alone: %s"): "journal.foreign_object",
    ("lake.s3_access", "lake %s: no credentials yet; asking again for %.0f s"): "lake.no_credentials_yet",

    ("service.auth", "%s; asking again in %.1f s"): "token.unavailable",
    ("service.channel", "the event service's connections failed"): "connection.broke",
    ("service.channel", "the event service's connection failed"): "connection.broke",
    ("service.channel", "the event service's connection failed at a task"): "connection.broke",
    ("service.channel", "connecting to the event service failed"): "connection.broke",
    ("service.grpcio_client", "reading the event stream failed"): "connection.broke",

    ("erase.rewrite", "%s is not there: `audit` says more; the erasure goes on without it"): "erase.object_missing",
    ("run.erasing", "erasure %d is finished: %d events erased, in %d files and %d retained copies"):
        "erase.finished",
    ("run.erasing", "erasure %d: %s"): "erase.left_over",
    ("run.erasing", "of requests that are no longer in force: %s"): "erase.request_left_over",
    ("run.erasing", "the Iceberg tables show what was erased until `register` is run: %s"): "register.behind_erasure",
    ("run.due", "--erase-every never: consent revocations are stored, and not obeyed until `erase` is run"):
        "erase.off",
    ("run.due", "the eraser ended with %s and will be started again"): "child.died",
    ("run.due", "the erasure at hand goes on at the next start, or with `erase`"): "erase.cut_off",
    ("run.works", "erasing failed and will be tried again: %s"): "erase.failed",

    ("register.register", "registered %d files; %d tables show the epochs up to %d"): "register.done",
    ("register.register", "compacted %d days of tables"): "register.compacted",
    ("register.register", "%s: %s; reading it again"): "register.conflict",
    ("register.compact", "%s: %s; reading it again"): "register.conflict",
    ("register.compact", "%s %s is being erased from: it is compacted when that is finished"): "register.postponed",
    ("register.expire", "%s: %s; expiring next time"): "register.conflict",
    ("run.works", "registering failed and will be tried %s: %s"): "register.failed",

    ("run.works", "publishing failed and will be tried again: %s"): "publish.failed",
    ("publish.helper", "a helping process has ended: publishing goes on without it"): "publish.helper_gone",
    ("run.publishing", "no second process to publish with: %s"): "publish.helper_gone",
    ("run.publishing", "published %d events in %d epochs"): "publish.done",
    ("run.publishing", "%s: finishing the epoch at hand; once more to stop at once"): "command.stopping",
    ("run.supervisor", "%s: finishing what was received; once more to stop at once"): "command.stopping",
    ("run.supervisor", "stopping: cancelling the job; what it has not acked comes again to the next"):
        "command.draining",
    ("run.supervisor", "stopping: %s what was received"): "command.draining",
    ("run.supervisor", "stopped: received %d, journaled %d, acked %d, failed acks %d"): "command.stopped",
    ("run.supervisor", "stopped: journaled %d"): "command.stopped",
    ("run.supervisor", "the embedded sandbox makes up events; --endpoint HOST:PORT connects to a real service"):
        "sandbox.embedded",
    ("run.supervisor", "registrar ended with %s%s; register does the rest"): "child.died",
    ("run.supervisor", "%s ended with %s%s; starting it again in %.0f s"): "child.died",
    ("run.progress", "%s"): "progress",
    ("run.cluster", "the lake %s is a folder: every worker of the cluster must see the same one there"):
        "job.lake_is_a_folder",
    ("run.cluster", "submitted the job %s to %s, which calls it %s"): "job.submitted",
    ("run.cluster",
     ("the job is only known to Beam; if Flink runs it, name --flink_master, or a stop may leave it "
      "running")): "job.unwatched",
    ("run.cluster", "the job %s runs already"): "job.taken_over",
    ("run.cluster", "the job %s is %s%s"): "job.state",
    ("run.cluster", "no progress can be shown: %s"): "job.progress_unknown",

    ("ask.backlog", "left out: %s"): "query.segment_left_out",
    ("ask.query", "%s"): "query.warning",
    ("ask.status", "%s"): "status.failed",
    ("source.tail", "its writer's deliveries wait for the next epoch: %s"): "source.segment_left_out",
    ("watch.server", "figures and probes at http://%s/"): "watch.listening",
    ("watch.serve", "stopped serving"): "command.stopped",
    ("watch.lake", "the lake cannot be looked at, its figures stay as they are: %s"): "watch.look_failed",
    ("watch.lake", "the lake can be looked at again, after %d failed looks"): "watch.look_recovered",
    ("watch.audits", "the lake cannot be audited now: %s"): "watch.audit_failed",
    ("watch.audits", "the lake cannot be audited now"): "watch.audit_failed",
    ("watch.audits", "the audit found %d differences: run `audit`"): "audit.found_differences",
    ("watch.recent", "a figure of the page could not be taken"): "watch.figure_missing",
    ("web", "cannot answer %s %s"): "watch.answer_failed",

    ("sandbox.command", "sandbox listening on %s"): "sandbox.listening",
    ("sandbox.command", "tokens at http://%s/oauth2/token"): "sandbox.listening",
    ("sandbox.command", "admin page at http://%s/"): "sandbox.listening",
})
# fmt: on


def name_of(logger: str, sentence: str) -> str | None:
    """The name of what a logger says; None for what is not ours, and for what is only told at level debug."""
    return EVENTS.get((logger.removeprefix("wgtwo_pipeline."), sentence))


def document() -> str:
    """docs/log-events.md: each name with what is said then, in Markdown."""
    said: dict[str, list[str]] = {}
    for (logger, sentence), name in EVENTS.items():
        said.setdefault(name, []).append(f"{_plain(sentence)} ({logger})")
    rows = [f"| `{name}` | {'<br>'.join(sentences)} |" for name, sentences in sorted(said.items())]
    return (
        "\n".join([_BEGINNING, "", "| event | what is said, and by which logger |", "|---|---|", *rows])
        + "\n"
    )


def _plain(sentence: str) -> str:
    for mark in ("%s", "%d", "%.0f", "%.1f"):
        sentence = sentence.replace(mark, "…")
    return sentence


_BEGINNING: Final = """# Log events

Generated by `make reference` from `pipeline/wgtwo_pipeline/log_events.py`; a test compares.

With `--log-format json` each line is an object with `time`, `level`, `logger`, `message`, and `event`: the
stable name of what happened, for alerts and searches. Messages may be said better in a newer version; names
stay. Lines of libraries, and those at level debug, have no `event`. No line holds a token, a secret or a
phone number."""
