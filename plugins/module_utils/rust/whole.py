"""Judge whether a Rust installation is whole after a crash, by rustup's and cargo's own records.

A power cut leaves files missing, empty, or with the right size and nothing but NUL bytes. Quick judgement
looks at each file that a component lists, and at the beginning of programs and records. Full judgement reads
every byte, and compares it with the checksums that were noted after the installation: rustup keeps none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Optional

from ..host.durable import replace_file

_RUSTLIB = os.path.join("lib", "rustlib")
# rustup writes these for each toolchain (rustup 1.29, dist/manifestation.rs, dist/component/components.rs).
_RECORDS = (
    "multirust-config.toml",
    "multirust-channel-manifest.toml",
    "components",
    "rust-installer-version",
)
_LIST = os.path.join(_RUSTLIB, "components")
# The manifest of the channel is another one for each version.
_VERSION = os.path.join(_RUSTLIB, "multirust-channel-manifest.toml")
# Other files of a component may be empty, such as those of rust-src.
_PROGRAM = re.compile(r"(?:bin|libexec)/.+|.+\.(?:so|rlib)(?:\..+)?")
_TOOL = re.compile(r'^"(\S+) (\S+) \([^"]*\)" = \[([^\]]*)\]', re.MULTILINE)
_SETTINGS = "settings.toml"
_HEAD_BYTES = 4096
_PIECE_BYTES = 2**20


def damage(toolchain: str) -> str:
    """Return what is missing or broken in the directory ``toolchain``, empty if nothing is.

    A link is a toolchain that an administrator linked (rustup toolchain link); it has no such records.
    """
    if os.path.islink(toolchain):
        return ""
    manifests = [f"manifest-{component}" for component in _text(os.path.join(toolchain, _LIST)).split()]
    records = [os.path.join(_RUSTLIB, name) for name in (*_RECORDS, *manifests)]
    for path in records:
        if not _has_content(os.path.join(toolchain, path)):
            return path
    for path in _files(toolchain, records[len(_RECORDS) :]):
        whole = os.path.join(toolchain, path)
        if not (_has_content(whole) if _PROGRAM.fullmatch(path) else os.path.lexists(whole)):
            return path
    return ""


def _files(toolchain: str, manifests: Sequence[str]) -> Iterator[str]:
    """Yield the files and directories in the ``manifests`` of components, relative to ``toolchain``."""
    for manifest in manifests:
        for line in _text(os.path.join(toolchain, manifest)).splitlines():
            yield line.partition(":")[2]


def _has_content(path: str) -> bool:
    """Return whether ``path`` is a file that begins with anything but NUL bytes."""
    with suppress(OSError), open(path, "rb") as stream:
        return bool(stream.read(_HEAD_BYTES).strip(b"\0"))
    return False


def tools(cargo_home: str) -> dict[str, str]:
    """Return crate to version of the cargo tools whose programs are whole."""
    if records_damaged(cargo_home):
        return {}
    found = _TOOL.findall(_text(os.path.join(cargo_home, ".crates.toml")))
    return {
        crate: version
        for crate, version, programs in found
        if all(
            _has_content(os.path.join(cargo_home, "bin", program))
            for program in re.findall(r'"([^"]+)"', programs)
        )
    }


def records_damaged(cargo_home: str) -> bool:
    """Return whether cargo would fail at its records of installed tools."""
    text = _text(os.path.join(cargo_home, ".crates.toml"))
    details = _text(os.path.join(cargo_home, ".crates2.json"))
    if "\0" in text + details or (text.strip() and not text.lstrip().startswith("[v1]")):
        return True
    try:
        return not isinstance(json.loads(details or "{}"), dict)
    except ValueError:
        return True


def settings_damaged(rustup_home: str) -> bool:
    """Return whether rustup would fail at its settings."""
    return "\0" in _text(os.path.join(rustup_home, _SETTINGS))


def forget_damaged_records(rustup_home: str, cargo_home: str) -> None:
    """Remove records at which rustup or cargo would fail; they write new ones."""
    broken = [os.path.join(cargo_home, name) for name in (".crates.toml", ".crates2.json")]
    broken = broken if records_damaged(cargo_home) else []
    if settings_damaged(rustup_home):
        broken.append(os.path.join(rustup_home, _SETTINGS))
    for path in broken:
        with suppress(FileNotFoundError):
            os.unlink(path)


def proxies_whole(cargo_home: str) -> bool:
    """Return whether rustup's own copies of itself are whole."""
    sizes = {_size(os.path.join(cargo_home, "bin", name)) for name in ("rustup", "cargo", "rustc", "rustdoc")}
    return len(sizes) == 1 and None not in sizes


def note_checksums(toolchain: str, note: str) -> None:
    """Write the checksums of the files of ``toolchain`` to the file ``note``."""
    replace_file(note, json.dumps(_checksums(toolchain), indent=0, sort_keys=True) + "\n")


def is_noted(toolchain: str, note: str) -> bool:
    """Return whether ``note`` has the checksums of the version that ``toolchain`` is."""
    return not os.path.islink(toolchain) and _noted(toolchain, note) is not None


def difference(toolchain: str, note: str) -> str:
    """Return the first file of ``toolchain`` that differs from ``note``, reading every byte.

    Empty if none does, or without a note of this version. Files that a person added do not count.
    """
    noted = {} if os.path.islink(toolchain) else _noted(toolchain, note) or {}
    return next(
        (path for path, sha256 in noted.items() if _sha256(os.path.join(toolchain, path)) != sha256), ""
    )


def _noted(toolchain: str, note: str) -> Optional[dict[str, str]]:
    try:
        noted = json.loads(_text(note))
        return noted if noted[_VERSION] == _sha256(os.path.join(toolchain, _VERSION)) else None
    except (ValueError, LookupError, TypeError):
        return None


def _checksums(toolchain: str) -> dict[str, str]:
    """Return the checksum of each file, without the records that change when a component is added."""
    sums = {_VERSION: _sha256(os.path.join(toolchain, _VERSION))}
    for folder, _folders, files in os.walk(toolchain):
        place = os.path.relpath(folder, toolchain)
        if place != _RUSTLIB:
            sums.update({os.path.normpath(f"{place}/{name}"): _sha256(f"{folder}/{name}") for name in files})
    return sums


def _sha256(path: str) -> str:
    """Return the checksum of a file, or the target of a link; empty if it cannot be read."""
    digest = hashlib.sha256()
    with suppress(OSError):
        if os.path.islink(path):
            return f"link to {os.readlink(path)}"
        with open(path, "rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                digest.update(piece)
        return digest.hexdigest()
    return ""


def _size(path: str) -> Optional[int]:
    with suppress(OSError):
        return os.stat(path).st_size
    return None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
