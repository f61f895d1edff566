"""Any effect of a registrar can be its last, or be followed by others' work: no version of a table is ever wrong.

The second half plants bugs that a reasonable person might have written; each must be found by the first half's means.
"""

import contextlib
import itertools

import lakes
import pytest
from catalog_steps import WHATS, KilledError, SteppedStore, bring_up, entries, stopped, wrong
from memory_store import MemoryStore
from pyiceberg.exceptions import CommitFailedException
from wgtwo_pipeline.errors import LakeError, PipelineError
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.lake.manifest import manifest_key
from wgtwo_pipeline.register import lake_catalog, register, tables
from wgtwo_pipeline.register.lake_catalog import LakeCatalog

MOST_EFFECTS = 60


LAST = manifest_key(3)


def told(store):
    """A copy of a lake as it is before its last epoch is committed, to be spoiled."""
    copy = MemoryStore()
    copy.objects = {key: value for key, value in store.objects.items() if key != LAST}
    return copy


def lake(store, *, known):
    """A lake whose catalog is behind: by an epoch of a table that is `known` to it, or by two of one that is not."""
    for epoch in range(3):
        if epoch == 1 and known:
            bring_up(store)
        lakes.journal(store, *(lakes.sms(10 * epoch + n, lakes.at(n, day=n % 2)) for n in range(4)))
        lakes.publish(store)
    return store


@pytest.fixture(params=["new", "known"])
def waiting(empty, request):
    return lake(empty, known=request.param == "known")


class Others:
    """Others register, another epoch is published, they register that, too: apart, or both `together`."""

    def __init__(self, store, whole, *, together=False):
        self.store, self.whole, self.together = store, whole, together
        self.left = {}

    def __call__(self):
        if not self.together:
            bring_up(self.store)
        self.store.objects[LAST] = self.whole.objects[LAST]
        bring_up(self.store)
        self.left = {
            key: value for key, value in self.store.objects.items() if key.endswith(".metadata.json")
        }

    def undone(self):
        """What of their work is gone: no version ever changes."""
        return [key for key, value in self.left.items() if self.store.objects.get(key) != value]


@pytest.mark.parametrize("what", WHATS)
def test_it_stops_at_any_effect(waiting, what):
    """Killed, cheated of an answer, or overtaken at any of its effects: the next one leaves every version right."""
    for at in range(MOST_EFFECTS):
        store = told(waiting)
        others = Others(store, waiting)
        struck = stopped(store, at, what, others)
        assert (wrong(store), others.undone()) == ([], []), f"{what} {at}"
        if not struck:
            break
    assert 4 <= at < MOST_EFFECTS


def test_three_at_once_in_any_order(waiting):
    """One is overtaken at each of its effects by a second, and that one at each of its own by a third."""
    for first in range(MOST_EFFECTS):
        second = 0
        while True:
            store = told(waiting)
            between = SteppedStore(store, second, "others before", Others(store, waiting))
            struck = stopped(store, first, "others before", lambda between=between: bring_up(between))
            assert wrong(store) == [], f"{first}, {second}"
            if not struck or len(between.effects) <= second:
                break
            second += 1
        if not struck:
            break
    assert 4 <= first < MOST_EFFECTS


def test_all_three_die(waiting):
    """Three die one after another, each at a later effect than the one before."""
    for at in range(4):
        store = told(waiting)
        for more in range(3):
            with contextlib.suppress(KilledError):
                bring_up(SteppedStore(store, at + more, "kill after"))
        bring_up(store)
        assert wrong(store) == [], f"{at}"


def retries(patches):
    """pyiceberg appends again by itself what a rival has appended."""
    patches.setitem(tables._PROPERTIES, "commit.retry.num-retries", "4")
    patches.setitem(tables._PROPERTIES, "commit.retry.min-wait-ms", "0")


def says_it_apart(patches):
    """How far the table is is said in a transaction of its own, after the files."""
    commit = register._commit

    def apart(store, table, step):
        patches.setattr(register, "_say", lambda *_: None)
        found = commit(store, table, step)
        patches.setattr(register, "_say", say)
        with table.transaction() as transaction:
            say(transaction, table, step)
        return found

    say = register._say
    patches.setattr(register, "_commit", apart)


def overwrites(patches):
    """A version that is there is replaced."""

    def create(self, name, number, metadata):
        self._store.delete([iceberg.version_key(name, number)])
        made(self, name, number, metadata)

    made = LakeCatalog._create
    patches.setattr(LakeCatalog, "_create", create)


def believes_the_hint(patches):
    """The newest version is the one that the hint names."""

    def versions(store, name):
        with contextlib.suppress(LakeError):
            number = int(bytes(store.read(iceberg.hint_key(name))))
            yield iceberg.Version(number, None)

    patches.setattr(iceberg, "versions", versions)


def takes_unknown_for_failed(patches):
    """A commit whose answer is lost counts as refused, and what it refers to is deleted."""
    patches.setattr(lake_catalog, "CommitStateUnknownException", CommitFailedException)


def keeps_what_it_read(patches):
    """After a conflict it commits what it had prepared, on top of whatever is there now."""
    committed = LakeCatalog.commit_table

    def commit_table(self, table, requirements, updates):
        return committed(self, self.load_table(table.name()), (), updates)

    patches.setattr(LakeCatalog, "commit_table", commit_table)


def shows_all_and_says_less(patches):
    """The files come before the number that says so."""
    through = iceberg.through
    patches.setattr(iceberg, "through", lambda properties: (max(0, through(properties)[0] - 1), 0))


MUTANTS = (
    retries,
    says_it_apart,
    overwrites,
    believes_the_hint,
    takes_unknown_for_failed,
    keeps_what_it_read,
    shows_all_and_says_less,
)


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_planted_bugs_are_found(empty, monkeypatch, plant):
    """Each of them is shown by some stop at some effect."""
    monkeypatch.setattr(tables, "ATTEMPTS", 5)
    waiting = lake(empty, known=False)
    plant(monkeypatch)
    ways = itertools.product(("others before", "kill after", "lose after"), (False, True))
    assert any(shown(waiting, what, together) for what, together in ways), f"nobody noticed: {plant.__doc__}"


def shown(waiting, what, together):
    """Whether something is wrong after some stop; a registrar that cannot go on shows a bug, too."""
    for at in range(MOST_EFFECTS):
        store = told(waiting)
        others = Others(store, waiting, together=together)
        try:
            struck = stopped(store, at, what, others)
        except PipelineError:
            return True
        if wrong(store) or others.undone():
            return True
        if not struck:
            return False
    return True


def test_what_is_found_is_real(waiting):
    """The checker is not satisfied with nothing: it finds a file that is missing, and one that is shown twice."""
    assert wrong(waiting) != []
    bring_up(waiting)
    assert wrong(waiting) == []
    shown = list(entries(LakeCatalog(waiting).load_table("sms")))
    table = LakeCatalog(waiting).load_table("sms")
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as snapshot:
        snapshot.append_data_file(shown[0])
    assert any("twice" in each for each in wrong(waiting))
