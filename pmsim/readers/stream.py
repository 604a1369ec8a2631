"""Text of any length, packed or not, in blocks of whole lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from pmsim.errors import Fault, ScenarioError
from pmsim.inputs import kind_of

BLOCK: Final = 1 << 20
"""Bytes that are read at once, unpacked."""
PIECE: Final = 1 << 12
"""Bytes that are unpacked at once: so many may be lost where a packed file is cut."""
LONGEST_LINE: Final = 1 << 16
"""Bytes of the longest line that is one; what is longer is no line of text."""

_PACKED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""How files begin that are packed, and the name of the codec in Arrow (RFC 1952, RFC 8878)."""


class TextStream:
    """A file, unpacked where it is packed by gzip or zstd, which its first bytes tell.

    Parameters
    ----------
    path
        The file.
    progress
        Called with the bytes of the file that have been read, packed as they are, and all of them.

    Attributes
    ----------
    cut
        Whether it ended in the middle: of a packed stream, or of a line.
    """

    def __init__(self, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
        self.path = path
        self.cut = False
        self._progress = progress

    def head(self, size: int = BLOCK) -> bytes:
        """Return the first bytes, unpacked, and fewer than ``size`` where there are fewer."""
        with self._opened() as (_, text):
            try:
                return bytes(text.read(size))
            except OSError:  # a packed file that is cut right there
                return b""

    def blocks(self) -> Iterator[bytes]:
        """Yield the text in blocks of whole lines, each with its line break.

        Raises
        ------
        ScenarioError
            If the file cannot be read, or is no text.
        """
        with self._opened() as (raw, text):
            total, rest = self.path.stat().st_size, b""
            while block := self._read(text):
                whole, newline, tail = (rest + block).rpartition(b"\n")
                rest = tail if newline else rest + block
                if len(rest) > LONGEST_LINE:
                    raise ScenarioError([self._fault("not-text", "this is not text in lines")])
                if newline:
                    yield whole + newline
                if self._progress is not None:
                    self._progress(raw.tell(), total)
            if rest:
                self.cut = True
                yield rest + b"\n"

    def _read(self, text: Any) -> bytes:
        """Return the next block; of a packed stream without its end, what comes before."""
        pieces: list[bytes] = []
        try:
            while len(pieces) * PIECE < BLOCK and (piece := text.read(PIECE)):
                pieces.append(piece)
        except OSError:
            self.cut = True
        return b"".join(pieces)

    def _opened(self) -> _Opened:
        try:
            kind = kind_of(self.path)
            if kind:
                raise ScenarioError([self._fault("no-file", f"this is {kind}, not a file")])
            return _Opened(self.path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ScenarioError([self._fault("unreadable", f"cannot read: {reason}")]) from error

    def _fault(self, code: str, message: str) -> Fault:
        return Fault(str(self.path), 0, 0, code, message)


class _Opened:
    """A file while it is read: the file itself, and what gives its text."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("rb")
        first = self._file.read(4)
        self._file.seek(0)
        codec = next((name for magic, name in _PACKED.items() if first.startswith(magic)), None)
        self._text: Any = self._file
        if codec is not None:
            import pyarrow as pa

            self._text = pa.CompressedInputStream(pa.PythonFile(self._file, mode="r"), codec)

    def __enter__(self) -> tuple[IO[bytes], Any]:
        return self._file, self._text

    def __exit__(self, *_: object) -> None:
        self._file.close()
