"""A RUSTUP_HOME that shares the toolchains of another one and can still be changed.

Programs and libraries are hard links. Root owns them, so a job reads them and cannot write them. Directories
and rustup's own records are new, so rustup can add, replace and remove parts. It replaces a file by another
one and writes in place only to its records (rustup 1.29, ``dist/component/transaction.rs``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Optional

from ..host.durable import make_directory
from ..host.hard_links import link_folder

#: RUSTUP_HOME of a user who does not set it, in HOME.
NAME = ".rustup"
_TOOLCHAINS, _SETTINGS, _HASHES = "toolchains", "settings.toml", "update-hashes"
_RECORDS = os.path.join("lib", "rustlib")
_UNIT = "dir:"
_READABLE = 0o755


def link_home(shared: str, target: str, owner: Optional[tuple[int, int]] = None) -> None:
    """Make the RUSTUP_HOME ``target`` from ``shared``, which may be a link to a published tree.

    ``owner`` is the user and the group of a job. Other users cannot enter ``target`` before it is complete.
    Raises OSError.
    """
    tree = ""
    while tree != os.path.realpath(shared):  # an update has published another tree, and may remove this one
        tree = os.path.realpath(shared)
        with suppress(FileNotFoundError):
            shutil.rmtree(target)
        _fill(tree, target, owner)
    os.chmod(target, _READABLE)


def _fill(tree: str, target: str, owner: Optional[tuple[int, int]]) -> None:
    os.mkdir(target, 0o700)
    for folder in (_TOOLCHAINS, _HASHES):
        make_directory(os.path.join(target, folder))
    for name in _names(tree, _TOOLCHAINS):
        _link_toolchain(os.path.join(tree, name), os.path.join(target, name), for_job=owner is not None)
    with suppress(FileNotFoundError):
        _copy(os.path.join(tree, _SETTINGS), os.path.join(target, _SETTINGS))
    for name in _names(tree, _HASHES):
        _copy(os.path.join(tree, name), os.path.join(target, name))
    if owner:
        # The target last: before that, the job's user cannot enter it and replace a directory by a link.
        for path in (*_own_paths(target), target):
            os.chown(path, *owner, follow_symlinks=False)


def _names(tree: str, folder: str) -> list[str]:
    """Return the entries of ``folder``, relative to ``tree``."""
    with suppress(FileNotFoundError):
        return [os.path.join(folder, name) for name in os.listdir(os.path.join(tree, folder))]
    return []


def _link_toolchain(source: str, target: str, *, for_job: bool) -> None:
    if os.path.islink(source):  # by `rustup toolchain link`
        os.symlink(os.readlink(source), target)
        return
    # The documentation has 50,000 files. rustup treats it as a unit, and removes a link in its place.
    units = set(_units(source)) if for_job else set()
    # A job does not wait for a copy to another file system.
    link_folder(source, target, [os.path.join(source, unit) for unit in units], copy=not for_job)
    for unit in units:
        os.symlink(os.path.join(source, unit), os.path.join(target, unit))
    for record in _records(target):
        _copy(record, f"{record}.new")
        os.replace(f"{record}.new", record)


def _units(toolchain: str) -> Iterator[str]:
    """Yield the directories that rustup installs and removes as a whole, relative to ``toolchain``."""
    for record in _records(toolchain):
        if os.path.basename(record).startswith("manifest-"):
            with open(record, encoding="utf-8") as lines:
                for line in lines:
                    unit = line.rstrip("\n")[len(_UNIT) :]
                    if line.startswith(_UNIT) and os.path.isdir(os.path.join(toolchain, unit)):
                        yield unit


def _records(toolchain: str) -> list[str]:
    """Return the paths of rustup's own records about ``toolchain``."""
    with suppress(FileNotFoundError), os.scandir(os.path.join(toolchain, _RECORDS)) as entries:
        return [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
    return []


def _copy(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    os.chmod(target, 0o644)


def _own_paths(home: str) -> Iterator[str]:
    """Yield what a job must be able to change: all but the linked files."""
    for folder, folders, files in os.walk(home):
        yield from (os.path.join(folder, name) for name in folders)
        if folder.endswith(_RECORDS) or not folder.startswith(os.path.join(home, _TOOLCHAINS)):
            yield from (os.path.join(folder, name) for name in files)
