"""The tensors of a checkpoint's safetensors files, used where they lie in the page cache.

The files are mapped read-only and shared: an array that is a view of the map costs no memory of
this process, several processes share the pages, and pages that were given back cost nothing
until they are read again. Imports numpy alone, so that an engine without torch can use it.

A file that is cut short or written while it is in use must give an error, not SIGBUS and not
wrong outputs. `held()` takes a read lease (fcntl, F_SETLEASE) on each file for the time of a
call: the kernel then makes whoever wants to write wait until the lease is given back, and
`check()` sees that someone waits. Where there is no lease (another user's file, some network file
systems), `make_sure()` compares size and time of change, and finds missing pages before they are
touched.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.backends.lowmem.stored import DTYPES, StoredTensor
from honed.errors import ModelError

_POPULATE_READ = 22  # MADV_POPULATE_READ, Linux 5.14; Python 3.11 has no name for it
_PAGE = mmap.PAGESIZE
_AHEAD_BYTES = 4 * 2**20  # mapped at once, while pages are read ahead
_CHANGED_HINT = (
    "run again; replace a checkpoint by a new folder or a rename, not by writing into it"
)

Array = npt.NDArray[Any]


class _MappedFile:
    """One file: its map, a descriptor to read rows with, and how it looked when it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # Rows are read at random. With a descriptor of their own, read-ahead of the map stays on.
        self.rows = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.posix_fadvise(self.rows, 0, 0, os.POSIX_FADV_RANDOM)
        status = os.fstat(self.descriptor)
        self.stamp = (status.st_size, status.st_mtime_ns)
        self.map = mmap.mmap(self.descriptor, status.st_size, mmap.MAP_SHARED, mmap.PROT_READ)
        with contextlib.suppress(OSError):  # a kernel without huge pages
            # What comes from the disk through the map then lies in pages of 2 MiB, where the file
            # system has such. Mapping these takes a tenth of the time.
            self.map.madvise(mmap.MADV_HUGEPAGE)
        self.leased = False
        self.changed = False

    def lease(self) -> None:
        """Ask for a read lease; without one the file is watched by its size and time alone."""
        try:
            # The kernel tells the holder by a signal, and SIGURG is one that is ignored.
            fcntl.fcntl(self.descriptor, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self.descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            self.leased = True
        except OSError:
            self.leased = False

    def release_lease(self) -> None:
        if self.leased:
            self.leased = False
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def check(self) -> None:
        if self.leased and fcntl.fcntl(self.descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK:
            self.changed = True  # a writer waits, and the kernel lets it in after 45 s at most
        status = os.fstat(self.descriptor)
        if self.changed or (status.st_size, status.st_mtime_ns) != self.stamp:
            self.changed = True
            raise _changed(self.path)

    def close(self) -> None:
        self.release_lease()
        for descriptor in (self.descriptor, self.rows):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        with contextlib.suppress(BufferError):  # an array still looks into it: it goes with that
            self.map.close()


def _changed(path: Path) -> ModelError:
    return ModelError(f"{path} is changed or cut short while the model is in use", _CHANGED_HINT)


class MappedWeights:
    """The tensors of a checkpoint by name. Arrays are read-only views unless they are read into
    memory of the caller."""

    def __init__(self, stored: Mapping[str, StoredTensor], *, keeps_pages: bool = False) -> None:
        self.stored = stored
        self._keeps_pages = keeps_pages
        self._files = {path: _MappedFile(path) for path in {t.file for t in stored.values()}}

    @property
    def keeps_pages(self) -> bool:
        """Whether pages that were touched stay mapped, so that no later call has to map them
        again. Processes share them, and the kernel may still take them back."""
        return self._keeps_pages

    @keeps_pages.setter
    def keeps_pages(self, keeps: bool) -> None:
        """Pages that were kept until now are given back if `keeps` is false."""
        were_kept, self._keeps_pages = self._keeps_pages, keeps
        if were_kept and not keeps:
            self.release_all()

    def array(self, name: str) -> Array:
        """The tensor in the map; bfloat16 as the bits, in uint16. Nothing is copied or read."""
        tensor = self.stored[name]
        whole = np.frombuffer(self._file(tensor).map, np.uint8, tensor.nbytes, tensor.offset)
        return whole.view(DTYPES[tensor.dtype]).reshape(tensor.shape)

    def read(self, name: str, into: Array) -> None:
        """Read the whole tensor into a contiguous array of its type and shape."""
        tensor = self.stored[name]
        view = into.reshape(-1).view(np.uint8).data
        read_into(view, self._file(tensor).descriptor, tensor.offset, tensor.file)

    def read_rows(self, name: str, rows: Sequence[int], into: Array) -> None:
        """Read rows of a table into [len(rows), width], of the table's type.

        They are read, not gathered from the map: a touched page of the map brings its
        neighbours with it, and a few hundred rows would make most of a table resident.
        """
        tensor = self.stored[name]
        row_bytes = tensor.nbytes // tensor.shape[0]
        descriptor = self._file(tensor).rows
        view = into.reshape(-1).view(np.uint8).data
        first = 0
        while first < len(rows):
            row, last = rows[first], first + 1
            while last < len(rows) and rows[last] == row + last - first:
                last += 1  # rows that follow each other are one read
            if not 0 <= row <= row + last - first - 1 < tensor.shape[0]:
                raise IndexError(
                    f"{name} has {tensor.shape[0]} rows; asked for were {row} to "
                    f"{row + last - first - 1}"
                )
            part = view[first * row_bytes : last * row_bytes]
            read_into(part, descriptor, tensor.offset + row * row_bytes, tensor.file)
            first = last

    def will_need(self, names: Iterable[str]) -> None:
        """Read the tensors from disk into the page cache.

        A few pages at a time are mapped and given back, because posix_fadvise would read into
        small pages: mapping those took 160 ms a GiB here, and large ones 40 ms.
        """
        for path, begin, end in _spans(self.stored[name] for name in names):
            file = self._files[path]
            for offset in range(begin, end, _AHEAD_BYTES):
                count = min(_AHEAD_BYTES, end - offset)
                try:
                    file.map.madvise(_POPULATE_READ, offset, count)
                except OSError:  # an older kernel, or the file was cut short, which a call finds
                    os.posix_fadvise(file.descriptor, offset, count, os.POSIX_FADV_WILLNEED)
                    continue
                if not self.keeps_pages:
                    file.map.madvise(mmap.MADV_DONTNEED, offset, count)

    def populate(self, names: Iterable[str]) -> None:
        """Map the pages of the tensors in one go; ModelError if the file no longer has them."""
        self._advise(names, _POPULATE_READ)

    def release(self, names: Iterable[str]) -> None:
        """Give the pages of the tensors back. They come back from the page cache when touched."""
        if not self.keeps_pages:
            self._advise(names, mmap.MADV_DONTNEED)

    def release_rows(self, name: str, begin: int, end: int) -> None:
        """Give back the pages of some rows of a matrix."""
        if self.keeps_pages:
            return
        self._advise_each([self.stored[name].rows(begin, end)], mmap.MADV_DONTNEED)

    def release_all(self) -> None:
        """Give back every page of every file."""
        if self.keeps_pages:
            return
        for file in self._files.values():
            file.map.madvise(mmap.MADV_DONTNEED)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Inside the block whoever wants to write to the files has to wait, where that is
        possible. The files are checked when the block begins; at its end they are checked if
        nothing kept writers away."""
        for file in self._files.values():
            file.lease()
        try:
            self.check()
            yield
            for file in self._files.values():
                if not file.leased:
                    file.check()
        finally:
            for file in self._files.values():
                file.release_lease()

    def check(self) -> None:
        """ModelError if a file was written, cut short, or waits to be. About a microsecond."""
        for file in self._files.values():
            file.check()

    def make_sure(self, names: Iterable[str]) -> None:
        """Before the tensors are used: ModelError if their files changed. Without a lease their
        pages are mapped here, where a missing one is an error; in a product it is a SIGBUS."""
        self.check()
        if not self.is_leased:
            self.populate(names)

    def make_sure_rows(self, name: str, begin: int, end: int) -> None:
        """The same for some rows of a matrix, of which all rows would be too many pages."""
        self.check()
        if not self.is_leased:
            self._advise_each([self.stored[name].rows(begin, end)], _POPULATE_READ)

    @property
    def is_leased(self) -> bool:
        """Whether every file is protected against writers at this moment."""
        return all(file.leased for file in self._files.values())

    def close(self) -> None:
        """Close the files. Arrays must not be used any more."""
        for file in self._files.values():
            file.close()

    def _file(self, tensor: StoredTensor) -> _MappedFile:
        return self._files[tensor.file]

    def _advise(self, names: Iterable[str], advice: int) -> None:
        self._advise_each((self.stored[name] for name in names), advice)

    def _advise_each(self, tensors: Iterable[StoredTensor], advice: int) -> None:
        for path, begin, end in _spans(tensors):
            file = self._files[path]
            try:
                file.map.madvise(advice, begin, end - begin)
            except OSError as error:
                if error.errno == errno.EFAULT:  # in place of a SIGBUS when the page is touched
                    file.changed = True
                    raise _changed(path) from error
                if error.errno != errno.EINVAL:  # an older kernel does not know the advice
                    raise


def _spans(tensors: Iterable[StoredTensor]) -> Iterator[tuple[Path, int, int]]:
    """Whole pages that cover the tensors, joined where they touch: path, begin, end.

    Rounding outwards is harmless: a page of a shared read-only map can always be mapped again.
    """
    ranges = sorted((t.file, t.offset, t.offset + t.nbytes) for t in tensors if t.nbytes)
    current: tuple[Path, int, int] | None = None
    for path, first, last in ranges:
        begin, end = first // _PAGE * _PAGE, -(-last // _PAGE) * _PAGE
        if current is not None and current[0] == path and begin <= current[2]:
            current = (path, current[1], max(end, current[2]))
            continue
        if current is not None:
            yield current
        current = (path, begin, end)
    if current is not None:
        yield current


def read_into(view: memoryview, descriptor: int, offset: int, path: Path) -> None:
    """Fill the bytes from the file at `offset`; ModelError if the file ends before."""
    while len(view):
        count = os.preadv(descriptor, [view], offset)
        if count == 0:
            raise _changed(path)
        view, offset = view[count:], offset + count
