"""The event stream's parser against the HTML standard's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.events import EventParser, ServerSentEvent


def parsed(*chunks: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_an_event_has_its_type_its_data_and_its_id() -> None:
    events = parsed(b'id: 7\nevent: state\ndata: {"a": 1}\n\n')
    assert events == [ServerSentEvent(event="state", data='{"a": 1}', id="7")]


def test_comments_and_unknown_fields_say_nothing() -> None:
    assert parsed(b": keep-alive\n\nretry: 10\n\nstrange\n\n") == []


def test_an_event_without_its_blank_line_is_not_told() -> None:
    assert parsed(b"data: half\n") == []


def test_data_over_several_lines_is_joined_and_only_one_space_is_taken() -> None:
    assert parsed(b"data:  two\ndata:x\n\n")[0].data == " two\nx"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_all_three_line_ends_are_read(end: bytes) -> None:
    stream = end.join([b"event: a", b"data: 1", b"", b"data: 2", b"", b""])
    # A lone CR at the very end may be half of a CR LF, so the last event may be told later, but never twice.
    assert [event.data for event in parsed(stream, b":\n")] == ["1", "2"]


def test_a_line_separator_inside_data_ends_no_line() -> None:
    assert parsed("data: a\u2028b\x0bc\x85d\n\n".encode())[0].data == "a\u2028b\x0bc\x85d"


def test_a_byte_order_mark_at_the_start_is_skipped() -> None:
    assert parsed(b"\xef", b"\xbb\xbfdata: 1\n\n")[0].data == "1"


def test_an_id_belongs_to_its_own_event_only() -> None:
    assert [event.id for event in parsed(b"id: 1\ndata: a\n\ndata: b\n\n")] == ["1", None]


@given(st.lists(st.integers(1, 60), max_size=8))
def test_how_the_bytes_are_cut_changes_nothing(cuts: list[int]) -> None:
    stream = "id: 1\r\nevent: é\r\ndata: ü\r\n\r\n: c\n\ndata: x\rdata: y\r\r\ndata: z\n\n".encode()
    chunks, rest = [], stream
    for cut in cuts:
        chunks, rest = [*chunks, rest[:cut]], rest[cut:]
    assert parsed(*chunks, rest) == parsed(stream)
