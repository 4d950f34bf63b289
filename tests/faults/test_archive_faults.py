"""Broken and harmful archives, which are refused and leave nothing published."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.store.members import Limits

from tests._support.fault_server import FaultServer, install, noise, tar_of, tar_special, wanted, zip_of

GOOD = {"a/one": noise(50_000, "one"), "a/two": b"two\n" * 5000}
ZIP = zip_of(GOOD)
END = ZIP.rindex(b"PK\x05\x06")
DIRECTORY = ZIP.index(b"PK\x01\x02")


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    return data[:offset] + value + data[offset + len(value) :]


def everywhere(data: bytes, offset: int, value: bytes) -> bytes:
    """Return ``data`` with ``value`` at ``offset`` of both headers of its first entry."""
    local = {8: 6, 10: 8}[offset]
    return patched(patched(data, data.index(b"PK\x01\x02") + offset, value), local, value)


def zip64() -> bytes:
    """Return a zip with every size and offset in the 64-bit fields."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in GOOD.items():
            with archive.open(name, "w", force_zip64=True) as stream:
                stream.write(data)
    return buffer.getvalue()


def twice() -> bytes:
    """Return a zip with two entries of one name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("one", b"one")
        archive.writestr("two", b"two")
    return buffer.getvalue().replace(b"two", b"one")


def raw_name(name: bytes, utf8: bool = False) -> bytes:
    """Return a zip with an entry that is called ``name``; any bytes are possible."""
    data = zip_of({"x" * len(name): b"content"}).replace(b"x" * len(name), name)
    return everywhere(data, 8, struct.pack("<H", 0x800 if utf8 else 0))


def overlapping() -> bytes:
    """Return a zip of two names for the same compressed bytes.

    D. Fifield's zip bomb in its simplest form.
    """
    data = zip_of({"k": bytes(100_000)})
    at, end = data.index(b"PK\x01\x02"), data.rindex(b"PK\x05\x06")
    entry = data[at:end]
    second = entry.replace(b"k", b"q")
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(entry) * 2, at, 0)
    return data[:at] + entry + second + tail


def gzip_bomb() -> bytes:
    return tar_of({"zeros": bytes(80_000_000)})


def long_header(kind: bytes, content: bytes) -> bytes:
    """Return a tar that begins with a header of ``kind`` which brings ``content``."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, len(content)
    blocks = content.ljust(-(-len(content) // 512) * 512, b"\0")
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + blocks + gzip.decompress(tar_of({"f": b"x"})))


def negative_header() -> bytes:
    """Return a tar whose long name has -1024 bytes.

    A reader that reads that many bytes reads the whole stream.
    """
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, -1024
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))


def sparse(content: bytes) -> bytes:
    """Return a tar with a file whose map of holes is ``content`` (GNU sparse 1.0)."""
    info = tarfile.TarInfo("f")
    info.size = len(content)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def nameless(count: int, name: str) -> bytes:
    """Return a tar of ``count`` headers of the directory ``name``."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE
    return gzip.compress(info.tobuf() * count + bytes(1024))


def globals_between(count: int) -> bytes:
    """Return a tar with a global header before each of ``count`` directories."""
    info = tarfile.TarInfo("d")
    info.type = tarfile.DIRTYPE
    heads = (tarfile.TarInfo.create_pax_global_header({f"k{n:03}": "v" * 900}) for n in range(count))
    return gzip.compress(b"".join(head + info.tobuf() for head in heads) + bytes(1024))


def spoiled_second_header() -> bytes:
    """Return a tar whose second header has a wrong checksum.

    Careless readers end there without an error.
    """
    plain = gzip.decompress(tar_of({"one": b"1", "two": b"2"}))
    return gzip.compress(patched(plain, 1024, b"TWO"))


SOUND: dict[str, bytes] = {
    "32 zip64": zip64(),
    "32 bytes before the archive": b"#!/bin/sh\n" + ZIP,
    "32 a comment at the end": patched(ZIP, END + 20, struct.pack("<H", 3)) + b"hey",
    "33 names that differ in case": zip_of({"README": b"1", "readme": b"2"}),
    "33 a name in code page 437": raw_name(b"caf\x82"),
    "33 a name in UTF-8": raw_name("café".encode(), utf8=True),
    "33 a name that is neither": raw_name(b"\xff\xfe\xfd"),
    "33 a name with a line of blanks": zip_of({"a b/ c ": b"1"}),
    "35 a zip in a zip": zip_of({"inner.zip": zip_of({"zeros": bytes(1_000_000)})}),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "32 truncated": (ZIP[: len(ZIP) // 2], "corrupt, truncated"),
    "32 without its last byte": (ZIP[:-1], "corrupt, truncated"),
    "32 no directory": (ZIP[:DIRECTORY], "corrupt, truncated"),
    "32 empty": (b"PK", "corrupt, truncated"),
    "32 not a zip": (b"<html>" * 100, "corrupt, truncated"),
    "32 trailing garbage": (ZIP + os.urandom(70_000), "corrupt, truncated"),
    "32 bad CRC": (patched(ZIP, DIRECTORY + 16, b"\0\0\0\0"), "corrupt, truncated"),
    "32 flipped bits": (patched(ZIP, 2000, b"\xff\xff\xff\xff\xff"), "corrupt, truncated"),
    "32 shorter than declared": (
        patched(ZIP, DIRECTORY + 24, struct.pack("<L", 90_000)),
        "corrupt, truncated",
    ),
    "32 longer than declared": (patched(ZIP, DIRECTORY + 24, struct.pack("<L", 10)), "corrupt, truncated"),
    "32 encrypted": (everywhere(ZIP, 8, b"\x01\0"), "encrypted"),
    "32 deflate64": (everywhere(ZIP, 10, b"\x09\0"), "corrupt, truncated or of a kind"),
    "32 unknown method": (everywhere(ZIP, 10, b"\x63\0"), "corrupt, truncated or of a kind"),
    "33 two names in one header": (patched(ZIP, 30, b"b"), "corrupt, truncated"),
    "33 parent": (zip_of({"../evil": b"x"}), "contains '..'"),
    "33 parent inside": (zip_of({"a/../../evil": b"x"}), "contains '..'"),
    "33 absolute": (zip_of({"/tmp/evil": b"x"}), "absolute"),
    "33 drive": (zip_of({"C:evil": b"x"}), "absolute"),
    "33 backslash": (zip_of({"..\\evil": b"x"}), "backslash"),
    "33 NUL": (raw_name(b"evil\0.txt"), "control character"),
    "33 very long": (zip_of({"n" * 300: b"x"}), "too long"),
    "33 very deep": (zip_of({"d/" * 2000 + "x": b"x"}), "too long"),
    "33 the same twice": (twice(), "appears twice"),
    "33 below a file": (zip_of({"a": b"x", "a/b": b"x"}), "is below"),
    "34 symlink out": (zip_of({"l": b"/etc/passwd"}, {"l": 0o120777}), "absolute path"),
    "34 symlink up": (zip_of({"a/l": b"../../x"}, {"a/l": 0o120777}), "leads out"),
    "34 through a symlink": (
        zip_of({"l": b".", "l/x": b"x"}, {"l": 0o120777}),
        "is below",
    ),
    "34 device in a zip": (zip_of({"d": b""}, {"d": 0o060644}), "neither a file"),
    "34 device": (tar_of({"d": tar_special(tarfile.CHRTYPE)}), "neither a file"),
    "34 fifo": (tar_of({"d": tar_special(tarfile.FIFOTYPE)}), "neither a file"),
    "34 hard link out": (tar_of({"h": tar_special(tarfile.LNKTYPE, "/etc/passwd")}), "absolute"),
    "34 hard link to a symlink": (
        tar_of({"s": tar_special(tarfile.SYMTYPE, "x"), "h": tar_special(tarfile.LNKTYPE, "s")}),
        "no file before it",
    ),
    "35 ratio": (zip_of({"zeros": bytes(80_000_000)}), "max_ratio=250"),
    "35 ratio of a tar": (gzip_bomb(), "max_ratio=250"),
    "35 total": (zip_of({"big": bytes(3_000_000)}), "max_unpacked_bytes=2000000"),
    "35 entries": (zip_of({f"f{number}": b"" for number in range(200)}), "max_entries=100"),
    "32 a spoiled header in a tar": (spoiled_second_header(), "corrupt, truncated"),
    "32 a map of holes that is none": (sparse(b"no map"), "corrupt, truncated"),
    "35 a long PAX header": (long_header(tarfile.XHDTYPE, bytes(2_000_000)), "headers of more than"),
    "32 a header of a negative length": (negative_header(), "corrupt, truncated"),
    "35 a long global header": (long_header(tarfile.XGLTYPE, bytes(2_000_000)), "headers of more than"),
    "35 a long name": (long_header(tarfile.GNUTYPE_LONGNAME, b"n" * 2_000_000), "headers of more than"),
    "35 a long link": (long_header(tarfile.GNUTYPE_LONGLINK, b"n" * 2_000_000), "headers of more than"),
    "35 a long map of holes": (sparse(b"9999999\n" + b"0\n" * 1_000_000), "headers of more than"),
    "35 global headers between members": (globals_between(600), "headers of more than"),
    "35 one directory again and again": (nameless(200, "d"), "max_entries=100"),
    "35 members without a path": (nameless(200, "."), "max_entries=100"),
    "35 overlapping entries": (overlapping(), "overlaps"),
}
FEW = Limits(2**30, 250, 100)
LIMITS = {
    "35 total": Limits(2_000_000, 250, 1000),
    "35 entries": FEW,
    "35 one directory again and again": FEW,
    "35 members without a path": FEW,
}


def form(data: bytes) -> str:
    return "tar" if data.startswith(b"\x1f\x8b") else "zip"


@pytest.mark.parametrize("case", REFUSED)
def test_archive_is_refused_in_one_sentence(server: FaultServer, root: Path, case: str) -> None:
    data, words = REFUSED[case]
    artifact = wanted("x", server.serve("/x", data), data, format=form(data))
    more = {"limits": LIMITS[case]} if case in LIMITS else {}
    outside = sorted(path.name for path in root.parent.iterdir())
    with pytest.raises(CiError) as caught:
        install(root, artifact, **more)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    for area in ("trees", "receipts", "refs", "staging", "trash", "partial", "progress"):
        assert os.listdir(root / area) == [], area
    assert sorted(path.name for path in root.parent.iterdir()) == sorted([*outside, "store"])
    assert server.count("/x") == 1


@pytest.mark.parametrize("case", SOUND)
def test_archive_that_is_odd_but_sound_is_unpacked(server: FaultServer, root: Path, case: str) -> None:
    data = SOUND[case]
    artifact = wanted("x", server.serve("/x", data), data, format="zip")
    (result,) = install(root, artifact).results
    assert result.outcome == "fetched"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        contents = sorted(archive.read(info) for info in archive.infolist())
    tree = Path(result.path or "")
    unpacked = sorted(path.read_bytes() for path in tree.rglob("*") if path.is_file())
    assert unpacked == contents
    assert install(root, artifact).results[0].outcome == "hit"


@pytest.mark.parametrize("mode", [0o106755, 0o102777, 0o101777, 0o100666, 0o100000], ids=oct)
def test_archive_modes_are_not_kept(server: FaultServer, root: Path, mode: int) -> None:
    data = zip_of({"f": b"x"}, {"f": mode})
    (result,) = install(root, wanted("x", server.serve("/x", data), data, format="zip")).results
    published = (Path(result.path or "") / "f").stat().st_mode & 0o7777
    assert published == (0o755 if mode & 0o111 else 0o644)


def flipped(number: int) -> bytes:
    """Return the good zip with one bit turned in a field that matters."""
    at = zlib.crc32(str(number).encode()) % (len(ZIP) * 8)
    return patched(ZIP, at // 8, bytes([ZIP[at // 8] ^ 1 << at % 8]))


def test_archive_with_a_flipped_bit_is_whole_or_refused(
    root: Path, server: FaultServer, runs: int, survived: list[bool]
) -> None:
    """Turn a bit before the checksum is taken: the same files come out, or nothing."""
    for number in range(runs * 2):
        data = flipped(number)
        artifact = wanted(f"x{number}", server.serve("/x", data), data, format="zip")
        try:
            (result,) = install(root, artifact).results
        except CiError:
            survived.append(not os.listdir(root / "staging"))
        else:
            unpacked = {path.read_bytes() for path in Path(result.path or "").rglob("*") if path.is_file()}
            survived.append(unpacked == set(GOOD.values()))
    assert all(survived)
