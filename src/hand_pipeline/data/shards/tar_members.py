"""Files inside tars, read in place: found once by their offset, then one positioned read each.

A file in a tar is named `<path of the tar>::<name in it>@<offset>+<length>`, e.g.
`000000.tar::00012.jpg@1536+20480`. The name says all that is needed, so no index has to be kept or
sent to workers; it holds as long as the tar is not written anew.
"""

import os
import re
import tarfile
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(r"(?P<tar>.+?\.tar)::.+@(?P<offset>\d+)\+(?P<length>\d+)", re.DOTALL)


class TarMember(NamedTuple):
    """A file in a tar: its name, and where its bytes are."""

    name: str
    offset: int
    length: int

    def path_in(self, tar: str) -> str:
        """The name by which `read_member` finds it."""
        return f"{tar}::{self.name}@{self.offset}+{self.length}"


def list_members(tar: Path) -> list[TarMember]:
    """The files in a plain tar, in its order; only the headers are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no plain tar, or is cut short.
    """
    try:
        with tarfile.open(tar, "r:") as archive:
            found = [TarMember(m.name, m.offset_data, m.size) for m in archive if m.isreg()]
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(
            f"{tar} is no tar file or is cut short ({error}); copy it again"
        ) from error
    size = tar.stat().st_size
    if found and found[-1].offset + found[-1].length > size:
        raise ValueError(f"{tar} is cut short: {found[-1].name} goes beyond its {size} bytes")
    return found


def is_member(path: Path | str) -> bool:
    """Whether this names a file in a tar, and not one of its own."""
    return _NAME.fullmatch(str(path)) is not None


def read_member(path: Path | str) -> bytes:
    """The bytes of a file in a tar, by the name that `TarMember.path_in` gives.

    Raises:
        ValueError: the name is not of this form.
        EOFError: the tar ends before the file does.
        OSError: the tar cannot be read.
    """
    found = _NAME.fullmatch(str(path))
    if found is None:
        raise ValueError(f"{path} does not name a file in a tar (x.tar::name@offset+length)")
    offset, length = int(found["offset"]), int(found["length"])
    descriptor = os.open(found["tar"], os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)
    if len(content) != length:
        raise EOFError(f"{found['tar']} ends within this file: it was cut short or written anew")
    return content
