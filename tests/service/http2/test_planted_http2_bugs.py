"""Bugs that a reasonable person might have written into the protocol: the tests of its rules find each of them."""

import pytest
import test_flow_control as flow
import test_header_blocks as blocks
import test_http2_rules as rules
import test_splits as splits
from wgtwo_pipeline.service.http2 import headers, outbox
from wgtwo_pipeline.service.http2.connection import Http2
from wgtwo_pipeline.service.http2.frames import U32


def never_give_back(patches):
    patches.setattr(Http2, "took", lambda self, exchange, count: None)


def keep_padding(patches):
    patches.setattr(Http2, "_data_of_any", lambda self, flags, number, payload: None)


def forget_what_goaway_refuses(patches):
    patches.setattr(
        Http2, "_go_away", lambda self, payload: setattr(self, "goodbye", (U32.unpack(payload[4:8])[0], ""))
    )


def refuse_one_too_many(patches):
    original = Http2._go_away

    def go_away(self, payload):
        last = U32.unpack(payload[:4])[0]
        original(self, U32.pack(max(0, last - 2)) + payload[4:])

    patches.setattr(Http2, "_go_away", go_away)


def remember_for_ever(patches):
    def remember(known, key, value, block):
        known[key] = value

    patches.setattr(headers, "_remember", remember)


def read_only_for_those_who_wait(patches):
    original = Http2._headers

    def read(self, number, *arguments):
        if number in self.exchanges:
            original(self, number, *arguments)

    patches.setattr(Http2, "_headers", read)


def ignore_the_streams_windows(patches):
    original = outbox._Unsent.__init__
    patches.setattr(
        outbox._Unsent, "__init__", lambda self, body, window: original(self, body, max(window, 1 << 30))
    )


def resize_only_new_streams(patches):
    patches.setattr(
        outbox.Outbox, "resize_streams", lambda self, window: setattr(self, "_first_window", window)
    )


def answer_every_ping(patches):
    patches.setattr(outbox, "MOST_REPLIES", 1 << 60)


def collect_headers_for_ever(patches):
    patches.setattr(headers, "MOST_BYTES", 1 << 40)


def take_trailers_for_the_head(patches):
    original = Http2._section

    def section(self, exchange, flags, found):
        original(self, exchange, flags, found._replace(status=found.status or "200"))

    patches.setattr(Http2, "_section", section)


def lose_the_rest(patches):
    original = Http2._feed

    def feed(self, buffer):
        original(self, buffer)
        self._rest = b""

    patches.setattr(Http2, "_feed", feed)


BUGS = [
    (never_give_back, flow.test_a_stream_s_window_is_given_back_when_its_data_was_taken),
    (keep_padding, flow.test_padding_is_given_back_by_itself),
    (forget_what_goaway_refuses, rules.test_streams_above_the_last_one_can_be_made_again),
    (refuse_one_too_many, rules.test_streams_above_the_last_one_can_be_made_again),
    (remember_for_ever, blocks.test_the_same_bytes_may_mean_something_else_later),
    (remember_for_ever, blocks.test_requests_are_written_as_hpack_says),
    (read_only_for_those_who_wait, rules.test_what_crosses_a_cancellation_is_ignored),
    (ignore_the_streams_windows, flow.test_no_more_is_sent_than_a_stream_has_room_for),
    (resize_only_new_streams, flow.test_the_first_window_changes_in_flight),
    (answer_every_ping, lambda: rules.test_floods_are_bounded(rules.settings())),
    (collect_headers_for_ever, lambda: blocks.test_headers_without_end(0)),
    (take_trailers_for_the_head, splits.test_byte_by_byte),
    (lose_the_rest, splits.test_byte_by_byte),
]


@pytest.mark.parametrize(("plant", "test"), BUGS)
def test_a_planted_bug_is_found(plant, test):
    """Without it the test passes, with it it fails."""
    with pytest.MonkeyPatch.context() as patches:
        plant(patches)
        with pytest.raises(BaseException):  # noqa: B017, PT011  # however it shows
            test()
