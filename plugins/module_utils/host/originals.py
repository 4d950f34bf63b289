"""Files and links that were on the host before ours: kept, and given back.

A file set copies the original of a path to ``<state>/originals`` before it replaces it the first time, and
restores it instead of removing the path. The index there has every path that a set has made. Its value is
the name of the copy, empty if nothing was there, None once the original is back.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import Optional

from .directories import read_json
from .file_state import Entry, Present, look

_OURS = re.compile(rb"coldvox[.-]ci")
# Paths of this collection have its name, and others do not use them.
_OWN_NAME = "coldvox"


class Originals:
    """The originals of all paths that file sets with ``state_dir`` made."""

    def __init__(self, state_dir: str) -> None:
        self.directory = os.path.join(state_dir, "originals")
        self._index_path = os.path.join(self.directory, "index.json")
        known = read_json(self._index_path) or {}
        self._index = {path: name if isinstance(name, str) else None for path, name in known.items()}

    def restored(self, path: str) -> bool:
        """Return whether the original is at ``path`` again, so that it must stay."""
        return path in self._index and self._index[path] is None

    def entry_for(self, path: str) -> Optional[Entry]:
        """Return what was at ``path`` before, None if nothing was there or it is back."""
        name = self._index.get(path)
        saved = look(os.path.join(self.directory, name)) if name else None
        return _as_entry(path, saved) if saved and saved.kind in ("file", "link") else None

    def is_foreign(self, entry: Entry, present: Present) -> bool:
        """Return whether ``present``, at the path of ``entry``, was made by others."""
        if present.kind not in ("file", "link") or self._is_known(entry):
            return False
        if present.kind == entry.kind == "link" and _family(present.target) == _family(entry.target):
            return False
        return _OURS.search(present.content) is None and _OURS.search(os.fsencode(present.target)) is None

    def copies(self, replaced: Iterable[tuple[Entry, Present]]) -> tuple[list[Entry], list[str]]:
        """Return the files to write before the paths are ``replaced``.

        With them come the paths that others had. The index is the last of the files. Both lists are empty if
        nothing is new.
        """
        entries, foreign = [], []
        before = dict(self._index)
        for entry, present in replaced:
            if entry.kind == "directory" or self._is_known(entry):
                continue
            name = ""
            if self.is_foreign(entry, present):
                name = entry.path.strip("/").replace("/", "%")
                entries.append(_as_entry(os.path.join(self.directory, name), present))
                foreign.append(entry.path)
            self._index[entry.path] = name
        return self._with_index(entries, before), foreign

    def after_removal(self, paths: Iterable[str]) -> list[Entry]:
        """Return the files to write after ``paths`` were restored or removed."""
        before = dict(self._index)
        for path in paths:
            if self._index.get(path):
                self._index[path] = None
            else:
                self._index.pop(path, None)
        return self._with_index([], before)

    def _is_known(self, entry: Entry) -> bool:
        """Return whether what is at the path of ``entry`` is ours."""
        return _OWN_NAME in entry.path or self._index.get(entry.path) is not None

    def _with_index(self, entries: list[Entry], before: dict[str, Optional[str]]) -> list[Entry]:
        if self._index == before:
            return entries
        owner, group = str(os.geteuid()), str(os.getegid())
        text = json.dumps(self._index, indent=1, sort_keys=True) + "\n"
        # The copy of a file may be secret.
        directory = Entry(self.directory, "directory", 0o700, owner, group)
        index = Entry(self._index_path, "file", 0o600, owner, group, content=text.encode())
        return [directory, *entries, index]


def _as_entry(path: str, state: Present) -> Entry:
    owner, group = str(state.uid), str(state.gid)
    return Entry(path, state.kind, state.mode, owner, group, content=state.content, target=state.target)


def _family(target: str) -> list[str]:
    return target.split("/")[:3]
