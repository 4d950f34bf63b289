"""GitHub's own OpenAPI description, cut to the operations of the emulator.

npm fetches it. It is the description of Enterprise Cloud, which covers repositories and organizations as
github.com's does, and enterprises too.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.process import capture

PACKAGE = "@octokit/openapi"
VERSION = "23.0.2"
SHA256 = "71a18407dd5e8464f4e0525daf03deabbe65abd9287d6adc7b5d98f516cd0d0c"
ARCHIVE = f"octokit-openapi-{VERSION}.tgz"
MEMBER = "package/generated/ghec.json"
# The key whose value names the package and the operations of a cut, so that an outdated one is replaced.
MARK = "x-coldvox-cut"

Operations = Iterable[tuple[str, str]]


def prepare(cache: Path, operations: Operations) -> Path:
    """Return the cut description below ``cache``, making it if necessary.

    ``operations`` are pairs of upper-case method and path template. Raises TestbedError when the package
    cannot be fetched or is not the pinned one.
    """
    wanted = sorted(set(operations))
    target = cache / "github" / "openapi.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target.parent / ".lock"):
        mark = cut_mark(wanted)
        if not _is_current(target, mark):
            archive = _archive(target.parent)
            _write(target, {**cut(_read_member(archive), wanted), MARK: mark})
    return target


def cut_mark(operations: Operations) -> str:
    """Return a digest of the package version and the operations cut from it."""
    return hashlib.sha256(json.dumps([SHA256, MEMBER, sorted(operations)]).encode()).hexdigest()


def cut(document: Mapping[str, Any], operations: Operations) -> dict[str, Any]:
    """Return ``document`` with only ``operations`` and the components they refer to."""
    paths: dict[str, Any] = {}
    for method, path in operations:
        try:
            source = document["paths"][path]
            operation = source[method.lower()]
        except KeyError:
            raise TestbedError(
                f"GitHub's description ({PACKAGE} {VERSION}) has no operation {method} {path}, so the "
                "emulator's answer cannot be checked; remove the operation from the emulator."
            ) from None
        shared = {key: value for key, value in source.items() if key == "parameters"}
        paths.setdefault(path, shared)[method.lower()] = copy.deepcopy(operation)
    kept = {key: value for key, value in document.items() if key in ("openapi", "info")}
    return {**kept, "paths": paths, "components": _reachable(document, paths)}


def _reachable(document: Mapping[str, Any], paths: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    components: dict[str, dict[str, Any]] = {}
    pending = list(_references(paths))
    while pending:
        kind, name = (part.replace("~1", "/").replace("~0", "~") for part in pending.pop().split("/")[2:])
        if name in components.setdefault(kind, {}):
            continue
        components[kind][name] = document["components"][kind][name]
        pending.extend(_references(components[kind][name]))
    return components


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _is_current(target: Path, mark: str) -> bool:
    try:
        return bool(json.loads(target.read_bytes()).get(MARK) == mark)
    except (OSError, ValueError):
        return False


def _archive(directory: Path) -> Path:
    archive = directory / ARCHIVE
    if archive.exists() and _sha256(archive) == SHA256:
        return archive
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        fetched = Path(scratch) / ARCHIVE
        _npm_pack(Path(scratch))
        if not fetched.exists() or _sha256(fetched) != SHA256:
            actual = _sha256(fetched) if fetched.exists() else "nothing"
            raise TestbedError(
                f"The program npm delivered another {PACKAGE} {VERSION} than the pinned one "
                f"(expected sha256 {SHA256}, got {actual}); "
                "check the registry that `npm config get registry` names."
            )
        fetched.replace(archive)
    return archive


def _npm_pack(destination: Path) -> None:
    command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(destination)]
    quiet = ["--silent", "--ignore-scripts", "--fetch-retries=1"]
    outcome = capture([*command, *quiet], timeout_seconds=300)
    if outcome.status == 127:
        raise TestbedError(
            f"GitHub's API description ({PACKAGE} {VERSION}) is fetched with npm, and there is none on PATH; "
            "install Node.js (Debian: apt install npm, Fedora: dnf install nodejs-npm) and run this again."
        )
    if outcome.status != 0:
        raise TestbedError(
            f"The program npm could not fetch {PACKAGE} {VERSION} ({outcome.reason}); "
            "check that its registry can be reached and run this again."
        )


def _read_member(archive: Path) -> dict[str, Any]:
    with tarfile.open(archive) as package:
        member = package.extractfile(MEMBER)
        if member is None:
            raise TestbedError(f"The archive {archive} has no {MEMBER}; remove the file and run this again.")
        document: dict[str, Any] = json.load(member)
    return document


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(target: Path, document: Mapping[str, Any]) -> None:
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
    partial.replace(target)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``.

    Two worlds may be prepared at the same time.
    """
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
