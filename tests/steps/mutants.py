"""Bugs to plant, at least one in each room; the checker must find every one of them.

The last fields say where the world has to be disturbed for the bug to show: what goes wrong, and at which steps (a
pattern of "kind key"); without them, the undisturbed story shows it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import bugs_in_epochs as epochs
import bugs_in_erasures as erase
import bugs_in_ingest as ingest
import bugs_in_publish as publish
from plan import ZIGZAG, Choice, Fault
from stories import (
    ASLEEP,
    BACKLOG,
    BOTH_APIS,
    DUE,
    FORGIVEN,
    FORGOTTEN,
    GRANTED,
    MISSED,
    PLAIN,
    QUIET,
    REDELIVERED,
    SILENT,
    SMALL,
)
from world import World


@dataclass(frozen=True)
class Mutant:
    room: str
    does: str
    plant: Callable
    story: object
    what: str = ""
    steps: str = ""
    resumes: tuple = (None,)
    pause: float = 0.0
    plan: dict | None = None  # where one thing that goes wrong does not show it

    def __str__(self):
        return f"{self.room}: {self.does}"

    def found(self):
        """What the checker says of the first world that shows the bug, the undisturbed one first; [] if none does."""
        told = World(self.story, self.plan, self.plant)
        violations = told.run()
        for plan in self._plans(told.steps) if self.what else ():
            if violations:
                break
            violations = World(self.story, plan, self.plant).run()
        return violations

    def _plans(self, steps):
        for number, step in enumerate(steps):
            if re.match(self.steps, f"{step.kind} {step.key}"):
                for resume in self.resumes:
                    for way in ("", ZIGZAG):
                        yield {number: Fault(self.what, resume, way, pause=self.pause)}


REGROUPED = replace(PLAIN, choices=(Choice(), Choice(rows_per_group=100)))
PUT_SEGMENT, PUT_FILE = "put journal/", "put tables/"
PUT_SEAL = "put .*sealed.json"
SOON = (5, 15, 30, 60)

MUTANTS = (
    Mutant("subscribe", "acks before the segment is put", ingest.ack_first, PLAIN),
    Mutant(
        "session",
        "takes a lost answer for success",
        ingest.assume_it_was_put,
        PLAIN,
        "lose before",
        PUT_SEGMENT,
    ),
    Mutant(
        "session",
        "goes on where a gap could not be recorded",
        ingest.give_up_recording,
        MISSED,
        "lose before",
        "put gaps/",
    ),
    Mutant("session", "takes what a connection has lost for covered", ingest.no_overlap, SILENT),
    Mutant("session", "records no gap", ingest.never_record, MISSED),
    Mutant("session", "takes what waits at the service for covered", ingest.cover_what_waits, BACKLOG),
    Mutant("session", "takes silence for room in flight", ingest.take_silence_for_room, BACKLOG),
    Mutant("session", "takes a sleep for listening", ingest.listen_while_asleep, BACKLOG, plan=ASLEEP),
    Mutant("ack", "settles a group before its acks are answered", ingest.settle_before_the_answer, BACKLOG),
    Mutant(
        "positions",
        "names a gap by its start alone",
        ingest.gap_named_by_start,
        MISSED,
        "kill after",
        "put gaps/",
        pause=2400.0,
    ),
    Mutant("format", "is said after the first segment", ingest.say_the_format_last, PLAIN),
    Mutant(
        "format", "is said by each writer in its own way", ingest.say_the_format_in_its_own_way, BOTH_APIS
    ),
    Mutant("journal", "names segments by the minute", ingest.reuse_names, PLAIN),
    Mutant("store", "puts over what is there", ingest.put_over, PLAIN, "freeze", PUT_SEAL),
    Mutant(
        "epochs",
        "seals without waiting for the last epoch",
        epochs.seal_at_once,
        PLAIN,
        "kill after",
        PUT_SEAL,
    ),
    Mutant("epochs", "publishes whatever waits", epochs.due_whatever_waits, DUE),
    Mutant("epochs", "waits while something comes", epochs.due_by_the_newest, DUE),
    Mutant("epochs", "does not count what waits", epochs.due_by_age_alone, DUE),
    Mutant(
        "epochs",
        "takes only segments newer than the last",
        epochs.only_newer,
        PLAIN,
        "freeze",
        PUT_SEGMENT,
    ),
    Mutant("epochs", "forgets what is held", epochs.forget_what_is_held, PLAIN),
    Mutant(
        "epochs",
        "commits without accounting for a lost output",
        publish.lose_an_outcome_and_do_not_account,
        PLAIN,
    ),
    Mutant("epochs", "deletes segments before the manifest", epochs.retire_first, PLAIN),
    Mutant("epochs", "deletes all segments", epochs.retire_all, SMALL),
    Mutant(
        "epochs",
        "expires copies of an open epoch",
        epochs.expire_all,
        PLAIN,
        "freeze",
        "list retained/",
        tuple(range(30, 75, 5)),
    ),
    Mutant("epochs", "expires without regard to retention", epochs.expire_at_once, QUIET),
    Mutant(
        "epochs",
        "takes a late copy for young",
        epochs.take_late_for_young,
        FORGIVEN,
        "freeze",
        "put retained/",
    ),
    Mutant(
        "retained",
        "takes deleted segments for lost ones",
        epochs.read_without_asking,
        PLAIN,
        "freeze",
        PUT_SEAL,
        (*SOON, None),
    ),
    Mutant(
        "decode",
        "groups segments as configured now",
        publish.own_groups,
        REGROUPED,
        "kill after",
        "put retained/",
    ),
    Mutant("decode", "drops what it does not know", publish.drop_unknown, PLAIN),
    Mutant("decode", "drops the quarantine", publish.drop_quarantine, PLAIN),
    Mutant(
        "decode",
        "drops what it does not know, and nobody counts",
        publish.drop_and_do_not_account,
        PLAIN,
    ),
    Mutant("deduplicate", "does not look within the epoch", publish.not_within_the_epoch, BOTH_APIS),
    Mutant("deduplicate", "does not look at earlier epochs", publish.not_against_earlier_epochs, PLAIN),
    Mutant("deduplicate", "does not look into the checkpoint", publish.without_the_checkpoint, SMALL),
    Mutant("deduplicate", "looks at the history of another epoch", publish.old_history, PLAIN),
    Mutant(
        "deduplicate",
        "leaves out the ends of a file's time range",
        publish.only_the_same_time_range,
        PLAIN,
    ),
    Mutant(
        "deduplicate",
        "splits the quarantine first",
        publish.quarantine_by_partition,
        PLAIN,
        "lose before",
        PUT_SEGMENT,
    ),
    Mutant(
        "deduplicate",
        "keeps the runner's order",
        publish.in_the_runners_order,
        PLAIN,
        "kill after",
        PUT_FILE,
    ),
    Mutant(
        "write",
        "shapes files as configured now",
        publish.own_parameters,
        SMALL,
        "kill after",
        PUT_SEAL,
    ),
    Mutant("write", "names files by the clock", publish.named_by_clock, PLAIN, "kill after", PUT_FILE),
    Mutant(
        "write",
        "takes a lost answer for success",
        publish.assume_the_file_was_put,
        PLAIN,
        "lose before",
        PUT_FILE,
    ),
    Mutant(
        "write",
        "takes another name after a lost answer",
        publish.another_name_after_a_failure,
        PLAIN,
        "lose after",
        PUT_FILE,
    ),
    Mutant("flows", "commits before the files are put", publish.manifest_first, PLAIN),
    Mutant("checkpoint", "misses a file", epochs.checkpoint_misses_a_file, PLAIN),
    Mutant("checkpoint", "forgets the checkpoint before", epochs.checkpoint_forgets_the_last_one, SMALL),
    Mutant(
        "recent",
        "has what has come since it was written last",
        epochs.recent_manifests_since_the_last_time,
        replace(PLAIN, checkpoint_every=9),
    ),
    Mutant("rewrite", "puts a new file and deletes the old one", erase.new_key_and_delete, FORGOTTEN),
    Mutant("rewrite", "deletes a file that is empty now", erase.delete_when_empty, FORGOTTEN),
    Mutant(
        "store", "replaces whatever is there", erase.put_over, FORGIVEN, "freeze", "replace tables/", (None,)
    ),
    Mutant("rewrite", "keeps no account in the file", erase.without_account, FORGOTTEN),
    Mutant("rewrite", "takes the whole file", erase.others_too, FORGOTTEN),
    Mutant("erasing", "rewrites before a seal lists the request", erase.before_it_is_listed, FORGOTTEN),
    Mutant("erasing", "leaves out the last epoch before", erase.one_epoch_too_few, FORGOTTEN),
    Mutant("erasing", "deletes a request that is in force", erase.request_deleted_at_once, FORGOTTEN),
    Mutant("requests", "overlooks that somebody has granted again", erase.grants_overlooked, GRANTED),
    Mutant("requests", "forgets the grace", erase.grace_forgotten, FORGIVEN),
    Mutant("requests", "takes revocations for read that are not", erase.read_again_from_the_start, FORGOTTEN),
    Mutant("candidates", "leaves out the quarantine", erase.without("quarantine"), FORGOTTEN),
    Mutant("candidates", "leaves out the retained copies", erase.without("retained"), FORGOTTEN),
    Mutant("subjects", "the index misses an epoch", erase.index_misses_an_epoch, FORGIVEN),
    Mutant("subjects", "the index forgets who is still there", erase.index_forgets, FORGIVEN),
    Mutant("subjects", "the index keeps who was erased", erase.index_keeps_who_was_erased, FORGOTTEN),
    Mutant("subjects", "the index goes on too late", erase.index_goes_on_too_late, FORGIVEN),
    Mutant(
        "subjects",
        "the index grows over what others have made of it",
        erase.index_grows_over_what_is_there,
        FORGIVEN,
        "freeze",
        "replace subjects/",
    ),
    Mutant("flows", "gives the receipt before anything is rewritten", erase.receipt_first, FORGOTTEN),
    Mutant("finish", "puts the token into the receipt", erase.token_in_the_receipt, FORGOTTEN),
    Mutant("decode", "does not suppress", erase.forget_to_suppress, REDELIVERED),
    Mutant(
        "decode",
        "does not suppress in a redo",
        erase.forget_to_suppress_in_a_redo,
        REDELIVERED,
        "kill after",
        PUT_SEAL,
    ),
    Mutant("erasures", "suppress only until the receipt", erase.suppress_until_finished, REDELIVERED),
    Mutant("erasures", "publish what is restored from long before", erase.publish_what_is_restored, FORGIVEN),
    Mutant("forget", "does not look at the time", erase.whenever_it_was, FORGIVEN),
)

LOSES_AN_OUTPUT = publish.lose_an_outcome
"""What a runner may do to publish at worst: the accounting refuses to commit that, and publishing begins again."""
