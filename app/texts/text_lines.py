"""Lines of a text file of any size, one at a time in bounded memory; a line that cannot be used is told as such."""

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app.texts.prompts import PromptError, opening

FIRST_BYTES = 2**20
"""Of a file, which show whether it is text, and how its lines end."""
MAX_LINE_BYTES = 8 * 2**20
"""Of one line."""
PACKED = ("gz", "bz2", "xz", "zst")
"""Endings of the names of files that are unpacked while they are read."""
_BROKEN = (EOFError, OSError, lzma.LZMAError)  # what reading packed bytes raises; zlib's error is told apart below


class TextLines:
    """The lines of a file, with their line ends; they can be read again and again.

    Reading gives a PromptError in place of a line that is no text or too long, and goes on after it.
    """

    def __init__(self, name: str, path: Path):
        """Raises PromptError if the file is no text. It is read as UTF-8, or as UTF-16 if it begins so."""
        self.name, self.path = name, path
        self.bytes_read = 0
        """Of the file as it is stored, in the last reading."""
        with _opened(path) as (_, data):
            first = _told(name, lambda: data.read(FIRST_BYTES))
        self._utf16 = first.startswith((b"\xff\xfe", b"\xfe\xff"))
        if b"\0" in first and not self._utf16:
            raise PromptError(f"{name} is a binary file (it holds NUL bytes), not text; save its text as UTF-8.")
        self._old_ends = not self._utf16 and b"\n" not in first and b"\r" in first  # of old Macs

    def __iter__(self) -> Iterator[str | PromptError]:
        self.bytes_read = 0
        with _opened(self.path) as (stored, data):
            by_blocks = self._utf16 or data is not stored
            lines = self._of_utf16(data) if self._utf16 else self._of_utf8(data)
            while True:
                try:
                    line = _told(self.name, lambda: next(lines, None))
                except PromptError as error:  # what is packed breaks off here
                    yield error
                    return
                if line is None:
                    return
                if by_blocks:
                    self.bytes_read = stored.tell()
                yield line

    def _of_utf8(self, data: BinaryIO) -> Iterator[str | PromptError]:
        first = True
        for line in _bounded(data, b"\r" if self._old_ends else b"\n"):
            if line is None:
                yield _too_long()
                continue
            self.bytes_read += len(line)
            line = line.removeprefix(b"\xef\xbb\xbf") if first else line
            first = False
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                yield PromptError(f"is not UTF-8 text (byte 0x{line[error.start]:02X}); save the file as UTF-8.")
                continue
            yield text[:-1] + "\n" if self._old_ends and text.endswith("\r") else text.replace("\r\n", "\n")

    def _of_utf16(self, data: BinaryIO) -> Iterator[str | PromptError]:
        # Half characters stay in the text as lone surrogates, which are told where the text is checked.
        text = io.TextIOWrapper(data, encoding="utf-16", errors="surrogatepass", newline="\n")
        most = MAX_LINE_BYTES // 2
        try:
            while line := text.readline(most):
                whole = len(line) < most or line.endswith("\n")
                while not line.endswith("\n") and len(line) == most:  # the rest of a line that is too long
                    line = text.readline(most)
                yield line.replace("\r\n", "\n") if whole else _too_long()
        finally:
            text.detach()  # it would close the file


def _bounded(data: BinaryIO, end: bytes) -> Iterator[bytes | None]:
    """Lines that end so; None for one that is too long, of which no more than a part is in memory at a time."""
    kept, too_long = b"", False
    while block := data.read(FIRST_BYTES):
        lines = (kept + block).split(end)
        kept = lines.pop()
        for line in lines:
            yield None if too_long else line + end
            too_long = False
        if len(kept) > MAX_LINE_BYTES:
            kept, too_long = b"", True
    if kept or too_long:
        yield None if too_long else kept


def _too_long() -> PromptError:
    return PromptError(f"is longer than {MAX_LINE_BYTES // 2**20} MB; divide it into lines.")


class _opened:
    """The file as it is stored, and unpacked."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> tuple[BinaryIO, BinaryIO]:
        self._stored = self._path.open("rb")
        match self._path.suffix.lower():
            case ".gz":
                data = gzip.GzipFile(fileobj=self._stored)
            case ".bz2":
                data = bz2.BZ2File(self._stored)
            case ".xz":
                data = lzma.LZMAFile(self._stored)
            case ".zst":
                import pyarrow as pa

                data = pa.CompressedInputStream(pa.PythonFile(self._stored, mode="r"), "zstd")
            case _:
                data = self._stored
        self._data = data
        return self._stored, data

    def __exit__(self, *_) -> None:
        self._data.close()
        self._stored.close()


def _told(name: str, read):
    """What `read()` gives; what unpacking makes of damaged bytes becomes one sentence."""
    import zlib

    try:
        return read()
    except (*_BROKEN, zlib.error, ValueError) as error:
        if isinstance(error, PromptError):
            raise
        raise PromptError(f"{opening(name, 80)} is damaged or breaks off here; save or download it again.") from error


__all__ = ["MAX_LINE_BYTES", "PACKED", "TextLines"]
