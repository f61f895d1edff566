"""`publish` with a helper, as it is run: either of them killed, nothing lost, nothing twice."""

import os
import signal
from collections.abc import Callable

import lakes
import pytest
from patience import wait_until
from processes import Command, assert_audit_passes
from wgtwo_pipeline import machine
from wgtwo_pipeline.lake import history
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.run import publishing

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        machine.cores() < 2 or machine.memory_bytes() < publishing._HELPED_BYTES,
        reason="too small a machine: there is no helper",
    ),
]

SEGMENTS, EACH = 50, 3_000
EVENTS = SEGMENTS * EACH


@pytest.fixture(autouse=True)
def backlog(store: Store) -> None:
    """So much that it is worth a helper."""
    for number in range(SEGMENTS):
        lakes.journal(store, *(lakes.sms(number * EACH + n) for n in range(EACH)))


def copies(store: Store) -> int:
    return len(list(store.list("retained/")))


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_helper_killed_at_any_moment(store: Store, command: Callable[..., Command], after: int) -> None:
    """Before it has done anything, or while groups are decoded: the epoch is committed all the same."""
    publisher = command("publish", "--lake", store.location.url)
    (helper,) = wait_until(publisher.children, what="a helper is there")
    wait_until(lambda: copies(store) >= after, what=f"{after} groups are copied")
    os.kill(helper, signal.SIGKILL)
    publisher.succeeds()
    assert history.load(store).totals.published == EVENTS
    assert_audit_passes(store.location.url, "--deep")


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_publisher_killed_beside_its_helper(
    store: Store, command: Callable[..., Command], after: int
) -> None:
    """The helper ends with it, and the next publisher finishes what the two have begun."""
    publisher = command("publish", "--lake", store.location.url)
    wait_until(publisher.children, what="a helper is there")
    wait_until(lambda: copies(store) >= after, what=f"{after} groups are copied")
    publisher.send(signal.SIGKILL)
    publisher.wait()
    wait_until(lambda: not publisher.everything(), what="nothing outlives it", describe=publisher.everything)
    command("publish", "--lake", store.location.url).succeeds()
    assert history.load(store).totals.published == EVENTS
    assert_audit_passes(store.location.url, "--deep")
