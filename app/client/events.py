"""Server-sent events, line by line as the HTML standard has them: bytes in, events out."""

from collections.abc import Iterator
from dataclasses import dataclass

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class ServerSentEvent:
    """`id` is the one that this event itself carried; None for one that cannot be resumed from."""

    event: str
    data: str
    id: str | None


class EventParser:
    """Feed it whatever chunks arrive; it yields each event at the blank line that ends it.

    Only CR LF, LF and CR end a line: splitting text as Python does would tear data at U+2028 and its kind.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._at_start = True
        self._event = ""
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        self._buffer += chunk
        if self._at_start:
            if len(self._buffer) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(self._buffer):
                return
            self._buffer, self._at_start = self._buffer.removeprefix(BYTE_ORDER_MARK), False
        for line in self._lines():
            if line:
                self._take(line.decode("utf-8", errors="replace"))
            else:
                yield from self._dispatch()

    def _lines(self) -> Iterator[bytes]:
        while True:
            ends = [end for end in (self._buffer.find(b"\n"), self._buffer.find(b"\r")) if end >= 0]
            if not ends:
                return
            end = min(ends)
            if self._buffer[end : end + 1] == b"\r" and end + 1 == len(self._buffer):
                return  # its LF may come with the next chunk
            width = 2 if self._buffer[end : end + 2] == b"\r\n" else 1
            line, self._buffer = self._buffer[:end], self._buffer[end + width :]
            yield line

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self) -> Iterator[ServerSentEvent]:
        if self._data:
            yield ServerSentEvent(event=self._event or "message", data="\n".join(self._data), id=self._id)
        self._event, self._id, self._data = "", None, []
