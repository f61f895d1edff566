"""Each event once: the first delivery counts, and nothing that an earlier epoch published comes again."""

import datetime
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.subscription.v1 import subscription_events_pb2 as v1
from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.events.tables import current_descriptors
from wgtwo_pipeline.events.wire import quarantine_identity
from wgtwo_pipeline.lake import deduplicate
from wgtwo_pipeline.lake.manifest import Parameters, TableFile
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.publish.write import write

TIME = pa.timestamp("us", "UTC")
V0, V1 = ("timestamp", "sequence"), ("timestamp", "event_id")
SEQUENCES = st.sampled_from([0, 1, 2, 2**63 - 2, 2**63 - 1])
TIMES = st.integers(-2, 2) | st.sampled_from([-62_135_596_800_000_000, 253_402_300_799_999_999])


def table(identities, name="sequence"):
    times, others = [t for t, _ in identities], [o for _, o in identities]
    return pa.table(
        {
            "n": pa.array(range(len(identities)), pa.int64()),
            "timestamp": pa.array(times, pa.int64()).cast(TIME),
            name: pa.array(others, pa.int64() if name == "sequence" else pa.string()),
            "rights": pa.array([["a"]] * len(identities), pa.list_(pa.string())),
        }
    )


def firsts(rows, earlier):
    """The promise, by a set: positions of the rows that are kept, sorted by identity."""
    seen = {identity for chunk in earlier for identity in chunk}
    kept = {}
    for n, identity in enumerate(rows):
        if identity not in seen and identity not in kept:
            kept[identity] = n
    return [kept[identity] for identity in sorted(kept)]


@given(
    rows=st.lists(st.tuples(TIMES, SEQUENCES), max_size=30),
    earlier=st.lists(st.lists(st.tuples(TIMES, SEQUENCES), max_size=8), max_size=3),
)
def test_v0_keeps_the_first_of_each_identity(rows, earlier):
    """Of rows in delivery order the first of each identity is kept unless an earlier epoch has it; sorted."""
    result = deduplicate.deduplicate(table(rows), V0, [table(chunk).select(list(V0)) for chunk in earlier])
    assert result["n"].to_pylist() == firsts(rows, earlier)
    assert result.schema == table(rows).schema


@given(
    rows=st.lists(st.tuples(TIMES, st.sampled_from("abc")), max_size=30),
    earlier=st.lists(st.lists(st.tuples(TIMES, st.sampled_from("abc")), max_size=8), max_size=3),
    cut=st.integers(0, 30),
)
def test_v1_keeps_the_first_of_each_identity(rows, earlier, cut):
    """The same with an id that is text, and with rows in several chunks."""
    whole = table(rows, "event_id")
    chunked = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    past = [table(chunk, "event_id").select(list(V1)) for chunk in earlier]
    assert deduplicate.deduplicate(chunked, V1, past)["n"].to_pylist() == firsts(rows, earlier)


@pytest.fixture
def store(tmp_path):
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    return store


class Watched:
    """A store that remembers which objects were opened."""

    def __init__(self, store):
        self.store, self.opened = store, []

    def open(self, key):
        self.opened.append(key)
        return self.store.open(key)


def put(store, key, identities, row_group_rows=1000):
    rows = table(identities)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=row_group_rows)
    store.create(key, sink.getvalue())
    times = rows["timestamp"].to_pylist()
    size, sha256 = len(sink.getvalue()), hashlib.sha256(sink.getvalue()).hexdigest()
    return TableFile(key, "sms", times[0].date(), len(rows), size, sha256, min(times), max(times))


def test_only_what_overlaps_is_read(store):
    """Files whose time range does not overlap are not opened, row groups that do not are not read."""
    files = [put(store, f"{n}.parquet", [(n * 100 + i, i) for i in range(100)], 10) for n in range(4)]
    watched = Watched(store)
    low, high = files[1].max_timestamp, files[2].min_timestamp
    found = list(deduplicate.earlier_identities(watched, files, V0, low, high))
    assert watched.opened == ["1.parquet", "2.parquet"]
    assert [t["sequence"].to_pylist() for t in found] == [list(range(90, 100)), list(range(10))]
    rows = table([(199, 99), (200, 0), (200, 1)])
    assert deduplicate.rows(store, rows, V0, files)["n"].to_pylist() == [2]
    assert deduplicate.rows(store, rows.slice(0, 0), V0, files).num_rows == 0


def test_many_files_come_in_order(store):
    """However many files overlap, each is read, and their identities come in the order of the files."""
    files = [put(store, f"{n:02d}.parquet", [(5, n)]) for n in range(30)]
    found = deduplicate.earlier_identities(store, files, V0, files[0].min_timestamp, files[0].max_timestamp)
    assert [t["sequence"].to_pylist() for t in found] == [[n] for n in range(30)]


def test_a_file_that_is_not_as_described_is_named(store):
    """A published file that is missing or no Parquet stops the work with an error that names it."""
    file = put(store, "good.parquet", [(1, 1)])
    missing = TableFile(**{**file.__dict__, "key": "missing.parquet"})
    store.create("bad.parquet", b"PAR1 this is not what it says PAR1")
    bad = TableFile(**{**file.__dict__, "key": "bad.parquet"})
    with pytest.raises(NotFoundError, match=r"missing\.parquet"):
        deduplicate.rows(store, table([(1, 1)]), V0, [file, missing])
    with pytest.raises(CorruptError, match=r"bad\.parquet"):
        deduplicate.rows(store, table([(1, 1)]), V0, [bad, file])


# ---- quarantine


def v0_payload(sequence=7, nanos=0, inbox="a", redelivered=False, **event):
    metadata = v0.EventMetadata(sequence=sequence, ack_inbox=inbox, is_redelivered=redelivered)
    event = v0.Event(metadata=metadata, timestamp=Timestamp(seconds=1, nanos=nanos), **event)
    return v0.SubscribeEventsResponse(event=event).SerializeToString()


def v1_payload(nanos=0, ack="a", redelivered=False, imsi="1"):
    return v1.StreamFirstAttachmentEventsResponse(
        metadata={
            "timestamp": Timestamp(seconds=1, nanos=nanos),
            "ack_info": {"value": ack},
            "is_redelivered": redelivered,
        },
        first_attachment_event={"imsi": {"value": imsi}},
    ).SerializeToString()


@pytest.mark.parametrize("broken", [lambda p: p, lambda p: p[:-1], lambda p: p + b"\xff"])
@pytest.mark.parametrize(
    ("api", "first", "again", "other"),
    [
        (
            "v0",
            v0_payload(service_id="s"),
            v0_payload(service_id="s", inbox="b" * 200, redelivered=True),
            [v0_payload(8, service_id="s"), v0_payload(nanos=1, service_id="s"), v0_payload(service_id="ts")],
        ),
        (
            "v1",
            v1_payload(),
            v1_payload(ack="b" * 200, redelivered=True),
            [v1_payload(nanos=1), v1_payload(imsi="21")],
        ),
    ],
)
def test_redelivery_of_what_cannot_be_read_is_recognised(api, first, again, other, broken):
    """A delivery and its redelivery have one identity, whole or broken; another event has another."""
    identity = quarantine_identity(broken(first), api)
    assert quarantine_identity(broken(again), api) == identity
    assert len({identity, *(quarantine_identity(broken(o), api) for o in other)}) == 1 + len(other)


@given(st.binary(max_size=60), st.sampled_from(["v0", "v1"]))
def test_any_bytes_have_an_identity(payload, api):
    """Whatever the bytes are, they have one, the same each time."""
    assert quarantine_identity(payload, api) == quarantine_identity(payload, api)


def quarantined(payloads, received_at):
    deliveries = pa.table(
        {
            "payload": pa.array(payloads, pa.binary()),
            "received_at": pa.array([received_at] * len(payloads), TIME),
        }
    )
    return decode(deliveries, api="v0", method="Subscribe", descriptors=current_descriptors()).quarantine


def test_quarantine_holds_each_delivery_once(store):
    """Within an epoch and across epochs and days a quarantined delivery is kept once, in delivery order."""
    late = datetime.datetime(2026, 11, 23, 23, 59, tzinfo=datetime.UTC)
    rows = quarantined([v0_payload(2), v0_payload(1), v0_payload(2, inbox="b"), b"\xff"], late)
    kept = deduplicate.quarantine(store, rows, [])
    assert kept["sequence"].to_pylist() == [2, 1, None]
    files = write(store, kept, "quarantine", 1, Parameters("d"))
    soon = late + datetime.timedelta(minutes=5)
    again = quarantined([v0_payload(3), v0_payload(1, redelivered=True), b"\xff", b"\xfe"], soon)
    assert deduplicate.quarantine(store, again, files)["payload"].to_pylist() == [v0_payload(3), b"\xfe"]
    much_later = quarantined([v0_payload(1)], late + datetime.timedelta(hours=3))
    assert deduplicate.quarantine(Watched(None), much_later, files).num_rows == 1
