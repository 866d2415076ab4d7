"""Server-sent events, read as they arrive. Only their data is of interest; the reader does no I/O."""

from collections.abc import Iterator

LINE_ENDS = (b"\n", b"\r")


class SseError(ValueError):
    """This is no stream of events."""


class SseReader:
    """Takes a stream piece by piece, however it is cut, and gives the data of each event that has ended."""

    def __init__(self, longest_event: int) -> None:
        self._longest_event = longest_event
        # The start of a line whose end has not come yet. Pieces are joined once: a long line must not be copied with
        # each of them.
        self._begun: list[bytes] = []
        self._begun_bytes = 0
        self._ended_by_cr = False
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        for line in self._lines(piece):
            if line:
                self._take(line)
            elif self._data:
                yield b"\n".join(self._data)
                self._data, self._data_bytes = [], 0

    def _lines(self, piece: bytes) -> Iterator[bytes]:
        """The lines that end in this piece, without their ends: LF, CR or CR LF, which may be torn apart."""
        if not piece:
            return
        if self._ended_by_cr:
            piece = piece.removeprefix(b"\n")
        self._ended_by_cr = piece.endswith(b"\r")
        for line in piece.splitlines(keepends=True):
            if not line.endswith(LINE_ENDS):
                self._begun.append(line)
                self._begun_bytes += len(line)
                self._check_length()
                return
            whole = b"".join((*self._begun, line)) if self._begun else line
            self._begun, self._begun_bytes = [], 0
            yield whole.rstrip(b"\r\n")

    def _take(self, line: bytes) -> None:
        """A line that begins with a colon is a comment; it and all fields but `data` mean nothing here."""
        name, _, value = line.partition(b":")
        if name != b"data":
            return
        self._data.append(value.removeprefix(b" "))
        self._data_bytes += len(value) + 1
        self._check_length()

    def _check_length(self) -> None:
        if self._begun_bytes + self._data_bytes > self._longest_event:
            raise SseError("an event has no end")
