"""The stories that are told with every ending, and the plans of how each of their steps goes wrong."""

from dataclasses import replace

from plan import FAULTS, V0, V1, V1_CONSENTS, ZIGZAG, ZOMBIE_FAULTS, Choice, Fault, Story
from world import World

PLAIN = Story(
    "plain",
    # Redeliveries within an epoch and across epochs, quarantined ones among them; midnight in between.
    "voice voice sms sms:unknown voice:utf8 deaf ingest wait:31 ingest publish hears wait:31 ingest voice publish "
    "sms:unset sms:truncated sms ingest publish",
)
SMALL = Story(
    "small epochs and files, configured anew at each start",
    "voice voice sms voice voice:utf8 voice ingest voice sms ingest publish crash:publish "
    "deaf voice sms voice ingest hears publish wait:31 ingest crash:publish publish",
    choices=(
        Choice(rows_per_file=2, epoch_rows=4),
        Choice(rows_per_group=1, rows_per_file=1, epoch_rows=6, partition_by="hour", retention_seconds=100),
        Choice(rows_per_group=9, row_group_rows=1, epoch_rows=9),
        Choice(rows_per_file=2, epoch_rows=3, partition_by="hour"),
    ),
    checkpoint_every=1,
)
BOTH_APIS = Story(
    "both APIs, each delivery twice",
    "voice handset_change_v1 sms handset_change_v1 sms:utf8 ingest publish handset_change_v1 voice restart publish",
    members=(V0, V1),
    repeat=1,
    checkpoint_every=1,
)
QUIET = Story(
    "heartbeats and restarts",
    "voice sms ingest wait:61 ingest wait:61 ingest publish voice restart wait:61 ingest wait:61 ingest ingest "
    "publish",
    choices=(Choice(retention_seconds=120),),
)
MISSED = Story(
    "nobody listened for longer than the history",
    "voice sms deaf ingest hears publish crash:ingest voice sms wait:2400 voice ingest publish wait:31 ingest",
)
LAKE_DOWN = Story(
    "the lake was away for longer than the history",
    "voice sms ingest voice voice voice voice down:2000 ingest voice publish",
    max_in_flight=2,
)
BACKLOG = Story(
    "what waited at the service was gone before anyone came for it",
    "voice voice voice voice wait:1500 deaf ingest ingest wait:61 ingest hears crash:ingest wait:600 sms ingest "
    "publish",
    max_in_flight=2,
)
ASLEEP = {
    0: Fault("freeze", all=False),
    7: Fault("freeze", all=False),
    80: Fault("kill after", all=False, pause=2400.0),
}
"""What goes wrong in BACKLOG: two zombies hold what the service has, and the third sleeps while it subscribes."""
SILENT = Story(
    "a connection died silently before nobody listened for long",
    "voice sms ingest mute voice wait:61 ingest ingest crash:ingest wait:2400 unmute sms ingest publish wait:31 "
    "ingest",
)
DUE = Story(
    "published when it is worth it",
    # By age although more keeps coming, by count although it is young, and not before.
    "voice sms ingest due wait:40 voice ingest due wait:40 ingest due voice voice:utf8 voice sms voice ingest due "
    "sms ingest crash:publish due wait:61 due",
    checkpoint_every=1,
)
FORGOTTEN = Story(
    "who revokes is forgotten",
    # Of a and b, all but b's are to go; they come again before the receipt and after it; bytes that nobody decodes.
    "sms:@a sms:@b voice:@a sms:unknown@a ingest publish sms:unknown@b consent_revoke:@a ingest publish erase "
    "deaf sms:@a sms:@b ingest wait:31 ingest publish hears wait:31 ingest publish erase",
    choices=(Choice(rows_per_file=2, retention_seconds=1_000),),
)
FORGIVEN = Story(
    "one after the other revokes, and has events again; in the end nothing says who it was",
    # The first segment comes back twice: published without her while that is in force, later not at all.
    "sms:@a sms:@b sms:@c consent_revoke:@a ingest publish erase restore consent_revoke:@b sms:@a ingest publish "
    "erase wait:400 sms:@a sms:@b voice:@c ingest wait:31 ingest wait:31 ingest publish wait:2500 erase restore "
    "sms:@a consent_revoke:@c ingest publish erase",
    choices=(Choice(retention_seconds=200), Choice(rows_per_group=1, retention_seconds=900)),
    checkpoint_every=1,
    suppress_seconds=2_400.0,  # longer than the service keeps events, else they come again
)
REDELIVERED = Story(
    "what nobody acked comes again and again while it is erased",
    "deaf sms:@a sms:@b consent_revoke:@a ingest publish wait:31 ingest erase wait:31 ingest publish erase hears "
    "wait:31 ingest publish",
    choices=(Choice(rows_per_group=1, rows_per_file=1, retention_seconds=1_000),),
)
GRANTED = Story(
    "who revokes and grants again has events again",
    # Of the time between, too, nothing stays; of two more revocations the second is granted again only later.
    "sms:@a wait:1 consent_revoke:@a wait:1 sms:@a wait:1 consent_change_v1:@a wait:1 sms:@a sms:@b ingest publish "
    "erase sms:@a ingest wait:31 ingest publish consent_revoke:@b wait:1 sms:@b ingest publish erase "
    "consent_change_v1:@b wait:400 sms:@b ingest publish erase",
    members=(V0, V1_CONSENTS),
)
STORIES = (
    PLAIN,
    SMALL,
    BOTH_APIS,
    QUIET,
    MISSED,
    LAKE_DOWN,
    BACKLOG,
    DUE,
    FORGOTTEN,
    FORGIVEN,
    GRANTED,
    REDELIVERED,
    SILENT,
)


def told(story):
    """The steps of a story that nothing disturbs."""
    world = World(story)
    violations = world.run()
    assert not violations, violations
    return world.steps


def telling(steps):
    """The numbers of the steps that say something new: of a row of equal ones (a retry) the first and the last."""
    looks = [replace(step, key="a segment") if step.key.startswith("journal/v") else step for step in steps]
    return [
        number
        for number, look in enumerate(looks)
        if looks[number - 1 : number] != [look] or looks[number + 1 : number + 2] != [look]
    ]


def faults(steps):
    """A plan for each fault at each step; after ingest has put something, also the death that is noticed late."""
    plans = [
        {number: Fault(what)} for number in telling(steps) for what in FAULTS.get(steps[number].kind, ())
    ]
    puts = [
        number for number in telling(steps) if (steps[number].role, steps[number].kind) == ("ingest", "put")
    ]
    return plans + [{number: Fault("kill after", pause=2400.0)} for number in puts]


def zombies(steps, resumes):
    """A plan for each step at which a process freezes, each later moment at which it goes on, and each way."""
    return [
        {number: Fault(what, resume, way)}
        for number in telling(steps)
        for what in ("freeze", *ZOMBIE_FAULTS.get(steps[number].kind, ()))
        for resume in resumes
        for way in (("", ZIGZAG) if resume is not None else ("",))
    ]
