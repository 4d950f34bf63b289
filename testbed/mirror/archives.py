"""Reproducible zip and tar.gz files.

The same input gives the same bytes: times, owners and order are fixed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

CHUNK_BYTES = 1 << 20
# Some programs refuse 1980, the earliest year that a zip can hold.
ZIP_TIME = (2022, 1, 1, 0, 0, 0)
TAR_TIME = 1640995200


class Member(NamedTuple):
    """One file of an archive.

    ``content`` is bytes, the path of a file to copy, or chunks that are made while writing.
    """

    content: bytes | Path | Iterable[bytes]
    mode: int = 0o644


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_zip(path: Path, top: str, members: Mapping[str, Member], compression_level: int = 6) -> None:
    """Write ``members`` below the directory ``top``.

    Like Info-ZIP, it writes directory entries and Unix modes.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=compression_level) as archive:
        for directory in _directories(top, members):
            archive.writestr(_zip_info(f"{directory}/", 0o40755), b"")
        for name, member in members.items():
            info = _zip_info(f"{top}/{name}", 0o100000 | member.mode)
            with archive.open(info, "w", force_zip64=True) as target:
                for chunk in _chunks(member.content):
                    target.write(chunk)


def _zip_info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, ZIP_TIME)
    info.create_system = 3
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
    return info


def write_tar_gz(path: Path, top: str, members: Mapping[str, Member], compression_level: int = 6) -> None:
    """Write ``members`` below the directory ``top``; chunks are joined in memory."""
    # Mode "w|" writes as it goes, so that a toolchain of hundreds of MB is never in memory.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", compression_level, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for directory in _directories(top, members):
            info = _tar_info(directory, 0o755)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, member in members.items():
            _add_file(archive, _tar_info(f"{top}/{name}", member.mode), member.content)


def _add_file(
    archive: tarfile.TarFile, info: tarfile.TarInfo, content: bytes | Path | Iterable[bytes]
) -> None:
    if isinstance(content, Path):
        info.size = content.stat().st_size
        with content.open("rb") as stream:
            archive.addfile(info, stream)
        return
    data = content if isinstance(content, bytes) else b"".join(content)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def _tar_info(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = mode, TAR_TIME
    return info


def _directories(top: str, members: Mapping[str, Member]) -> list[str]:
    directories = {top}
    for name in members:
        directories.update(str(parent) for parent in PurePosixPath(top, name).parents if str(parent) != ".")
    return sorted(directories)


def _chunks(content: bytes | Path | Iterable[bytes]) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, Path):
        with content.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    else:
        yield from content


def extract_member(archive_path: Path, name: str, target: Path, sha256: str) -> None:
    """Extract one file of a zip, such as a wheel, and check its digest.

    Raises ValueError when the digest differs, and removes ``target`` then.
    """
    with zipfile.ZipFile(archive_path) as archive, archive.open(name) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, CHUNK_BYTES)
    actual = sha256_of(target)
    if actual != sha256:
        target.unlink()
        raise ValueError(
            f"The file {name} in {archive_path.name} has sha256 {actual}, expected {sha256}; "
            "delete the archive and build again."
        )
