"""Progress: one living line on a terminal that never wraps, plain log lines elsewhere, as often as is useful."""

import io
import os

import pytest
from wgtwo_pipeline.logs import ERASE_LINE
from wgtwo_pipeline.run import progress
from wgtwo_pipeline.run.progress import Progress, total

COUNTS = {
    "received": 1_234_567.0,
    "journaled": 1_234_560.0,
    "acked": 1_234_000.0,
    "acks_failed": 0.0,
    "published": 1_000_000.0,
    "oldest_unacked_seconds": 0.26,
}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_counts_of_all_children_add_up():
    """And the longest wait of any counts; facts that a child has not told yet are nothing."""
    found = total([{"received": 2, "oldest_unacked_seconds": 3.0}, {"received": 5, "acked": 1}, {"pid": 7}])
    assert (found["received"], found["acked"], found["journaled"]) == (7, 1, 0)
    assert found["oldest_unacked_seconds"] == 3


def test_a_log_line_each_ten_seconds(clock, caplog):
    """With the rate since the line before."""
    caplog.set_level("INFO")
    shown = Progress(publishes=True, stream=io.StringIO())
    for _ in range(160):
        clock.now += 0.125
        shown.show({**COUNTS, "acked": clock.now * 50})
    shown.end()
    assert [record.getMessage() for record in caplog.records] == [
        f"received 1,234,567  journaled 1,234,560  acked {acked}  published 1,000,000  50/s  oldest unacked 0.3 s"
        for acked in ("500", "1,000")
    ]


def test_a_line_on_a_terminal_is_written_over(clock, monkeypatch):
    """Twice a second, with the time that has passed."""
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    shown = Progress(publishes=True, stream=stream)
    clock.now = 61.0
    shown.show(COUNTS)
    shown.show(COUNTS)
    clock.now = 61.6
    shown.show(COUNTS)
    shown.end()
    first, second, last = stream.getvalue().split(ERASE_LINE)[1:]
    assert first.startswith("01:01  received 1,234,567")
    assert second.startswith("01:01  received")
    assert second.endswith("oldest unacked 0.3 s")
    assert last == f"{second}\n"


def test_the_rate_on_a_terminal_is_that_of_some_seconds(clock, monkeypatch):
    """Acks come by the segment: since the update before there may have been none, or two."""
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    shown = Progress(publishes=True, stream=stream)
    for half_seconds in range(1, 31):
        clock.now += 0.5
        shown.show({**COUNTS, "acked": 50.0 * (half_seconds // 2)})
    rates = [line.split("/s")[0].rpartition(" ")[2] for line in stream.getvalue().split(ERASE_LINE)[1:]]
    assert rates[0] == "0"
    assert set(map(int, rates[10:])) <= {40, 50, 60}


def test_the_line_is_whole_at_the_end(clock, monkeypatch):
    """A record may have been logged over it."""
    monkeypatch.setenv("COLUMNS", "200")
    stream = Terminal()
    shown = Progress(publishes=True, stream=stream)
    clock.now = 1.0
    shown.show(COUNTS)
    line = stream.getvalue()
    stream.write(f"{ERASE_LINE}a record\n")
    shown.end()
    assert stream.getvalue().endswith(f"a record\n{line}\n")


def test_no_line_lives_among_json(clock, monkeypatch, caplog):
    """Where logs are JSON, a program reads them, whatever it looks like."""
    monkeypatch.setattr(progress, "is_json", lambda: True)
    caplog.set_level("INFO")
    stream = Terminal()
    shown = Progress(publishes=True, stream=stream)
    clock.now = 11.0
    shown.show(COUNTS)
    shown.end()
    assert stream.getvalue() == ""
    assert len(caplog.records) == 1


def test_a_line_fits_a_narrow_terminal(clock, monkeypatch):
    """One that wrapped would be left behind at each update."""
    monkeypatch.setenv("COLUMNS", "60")
    stream = Terminal()
    shown = Progress(publishes=True, stream=stream)
    clock.now = 1.0
    shown.show(COUNTS)
    (line,) = stream.getvalue().split(ERASE_LINE)[1:]
    assert len(line) == 59


def test_failed_acks_are_shown(clock, caplog):
    """Else nobody would see why what is journaled is not acked; where there are none, there is nothing to say."""
    caplog.set_level("INFO")
    shown = Progress(publishes=False, stream=io.StringIO())
    for failed in (0, 1_050):
        clock.now += 11.0
        shown.show({**COUNTS, "acks_failed": failed})
    none, some = caplog.messages
    assert "failed" not in none
    assert "acked 1,234,000  failed acks 1,050  " in some


def test_what_is_not_done_is_not_shown(clock, caplog):
    """Without a publisher nothing is said of publishing."""
    caplog.set_level("INFO")
    shown = Progress(publishes=False, stream=io.StringIO())
    clock.now = 11.0
    shown.show(COUNTS)
    assert "published" not in caplog.text
    assert os.linesep not in caplog.records[0].getMessage()
