"""Installs and removes artifacts.

It looks first, decides, and does only what is missing. Check mode and real mode share the decisions.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ..errors import CiError
from ..host.clock import timestamp
from ..host.durable import storage_error
from . import links
from .artifact import Artifact, check_content, public_url
from .index import Index, Ref, check_expected, desired, released, shown, wanted
from .layout import Layout
from .locks import Locks
from .members import Limits
from .outcome import (
    ABSENT,
    HIT,
    REMOVED,
    Observed,
    Result,
    check_shape,
    has_other_shape,
    needs_tree,
    outcome_of,
)
from .receipt import Condition, Receipt, single_file
from .trash import clear, discard_tree, interrupted

if TYPE_CHECKING:
    from .fetch import Fetched

# The tries per url of a downloader, and some time for its pauses: see download.py.
_PATIENCE_PER_URL = 3
_PATIENCE_SPARE = 2


class Settings(NamedTuple):
    """How to work.

    ``full`` verifies every byte; ``predict`` changes nothing and reports the outcome.
    """

    limits: Limits
    concurrency: int = 4
    timeout_seconds: float = 60.0
    full: bool = False
    predict: bool = False
    pause_seconds: float = 0.5


class Report(NamedTuple):
    """The outcome of one call.

    ``before`` and ``after`` show the refs, by name, for a diff.
    """

    changed: bool
    results: tuple[Result, ...]
    before: dict[str, Any]
    after: dict[str, Any]


class Store:
    """The store at ``root``. One instance serves one call."""

    def __init__(self, root: str, settings: Settings) -> None:
        self._layout = Layout(root)
        self._settings = settings
        self._index = Index(self._layout)
        self._locks: Optional[Locks] = None
        self._refs: dict[str, Ref] = {}
        self._after: dict[str, Any] = {}
        self._waiting: list[str] = []

    def install(self, artifacts: Sequence[Artifact], set_name: str = "") -> Report:
        """Install every missing artifact.

        Tries all, then raises one CiError for those that failed. Releases first what the list ``set_name`` no
        longer has, so that its room can be used.
        """
        with self._opened():
            names = [artifact.name for artifact in artifacts]
            before = self._shown(names)
            self._refs = self._index.refs()
            dropped = self._release(set_name, frozenset(names))
            before.update(dropped)
            groups: dict[str, list[Artifact]] = {}
            for artifact in artifacts:
                groups.setdefault(artifact.sha256, []).append(artifact)
            results, errors = self._settle_all(list(groups.values()), frozenset(names))
            changed = bool(dropped) or any(result.outcome != HIT for result in results.values())
            changed = self._regenerate() or changed
            ordered = tuple(results[name] for name in names if name in results)
            report = Report(changed, ordered, before, {**before, **self._after})
        if errors:
            raise _combined(errors, len(artifacts), report)
        return report

    def remove(self, items: Iterable[tuple[str, str]], set_name: str = "") -> Report:
        """Remove every named artifact, and all that the list ``set_name`` has or had.

        ``items`` are names, each with its link (may be empty).
        """
        with self._opened():
            named = list(items)
            given = {name for name, _link in named}
            of_set = [ref for ref in self._index.refs().values() if set_name and ref.set_name == set_name]
            named += [(ref.name, ref.link) for ref in of_set if ref.name not in given]
            before = self._shown([name for name, _link in named])
            results = tuple(self._remove(name, link) for name, link in named)
            changed = any(result.outcome == REMOVED for result in results)
            changed = self._regenerate() or changed
            return Report(changed, results, before, dict.fromkeys(before))

    def _release(self, set_name: str, names: frozenset[str]) -> dict[str, Any]:
        """Release what ``set_name`` had and ``names`` has not; return it as it was."""
        old = [ref for ref in self._refs.values() if ref.set_name == set_name and ref.wanted]
        gone = [ref for ref in old if ref.name not in names]
        if gone and not self._settings.predict:
            with self._guard(lambda locks: locks.changing_refs()):
                for ref in gone:
                    self._index.write_ref(released(ref))
                self._index.regenerate()
        self._after.update({ref.name: shown(released(ref)) for ref in gone})
        return {ref.name: shown(ref) for ref in gone}

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Prepare the store, unless only predicting.

        Turns an OSError of the block into a sentence.
        """
        try:
            if self._settings.predict:
                self._layout.check()
            else:
                self._layout.prepare()
                self._locks = Locks(self._layout)
                for leftover in interrupted(self._layout):
                    clear(self._layout, leftover)
            yield
        except OSError as error:
            raise storage_error(f"working on the store {self._layout.root}", error) from error

    def _shown(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: shown(self._index.ref(name)) for name in names}

    def _settle_all(
        self, groups: Sequence[list[Artifact]], names: frozenset[str]
    ) -> tuple[dict[str, Result], list[CiError]]:
        """Settle first the groups that need no download, then fetch the others."""
        settled: list[list[Result] | CiError] = []
        missing = []
        for group in groups:
            try:
                results = self._settle(group, names, may_fetch=self._settings.predict)
            except CiError as error:
                settled.append(error)
                continue
            if results is None:
                missing.append(group)
            else:
                settled.append(results)
        if missing:
            settled += self._fetch_all(missing, names)
        errors = [outcome for outcome in settled if isinstance(outcome, CiError)]
        done = [result for outcome in settled if not isinstance(outcome, CiError) for result in outcome]
        return {result.name: result for result in done}, errors

    def _fetch_all(
        self, groups: Sequence[list[Artifact]], names: frozenset[str]
    ) -> list[list[Result] | CiError]:
        from concurrent.futures import ThreadPoolExecutor  # its import costs more than 20 hits

        self._waiting = [group[0].name for group in groups]

        def settle(group: list[Artifact]) -> list[Result] | CiError:
            self._waiting.remove(group[0].name)
            try:
                return self._settle(group, names, may_fetch=True) or []
            except CiError as error:
                return error
            except OSError as error:
                return storage_error(f"installing {group[0].name}", error)

        with ThreadPoolExecutor(min(self._settings.concurrency, len(groups))) as pool:
            return list(pool.map(settle, groups))

    def _settle(
        self, group: list[Artifact], names: frozenset[str], may_fetch: bool
    ) -> Optional[list[Result]]:
        """Install the names of one digest.

        None means that this needs a download and ``may_fetch`` is false.
        """
        began = time.monotonic()
        first = group[0]
        with self._guard(lambda locks: locks.reading(first.sha256)):
            condition = self._index.condition(first.sha256, self._settings.full)
            if has_other_shape(first, condition):
                check_shape(first, self._others(first.sha256, names))
            if condition.receipt is not None:
                known = [ref for ref in self._refs.values() if ref.sha256 == first.sha256]
                for artifact in group:
                    check_content(artifact, [(ref.name, ref.kind, ref.source_url) for ref in known])
            observed = [self._observe(artifact, condition) for artifact in group]
            fetch = needs_tree(first, condition)
            if fetch and not may_fetch:
                return None
            fetched = None
            if fetch and not self._settings.predict:
                fetched, condition = self._fetch_once(first, condition)
                fetch = fetched is not None
            results = []
            for artifact, seen in zip(group, observed):
                is_first = artifact is first
                outcome = outcome_of(artifact, seen._replace(condition=condition), fetch and is_first)
                source = fetched if is_first else None
                results.append(self._finish(artifact, outcome, condition.receipt, source, seen, began))
            return results

    def _others(self, sha256: str, names: frozenset[str]) -> tuple[str, ...]:
        refs = self._index.refs().values()
        return tuple(ref.name for ref in refs if ref.sha256 == sha256 and ref.name not in names)

    def _fetch_once(self, artifact: Artifact, condition: Condition) -> tuple[Optional[Fetched], Condition]:
        """Fetch under the download lock.

        Another process may have done so while we waited for the lock.
        """
        from .fetch import Fetcher  # with urllib, ssl, zipfile and tarfile: 0.25 s that a hit does not need

        settings = self._settings
        patience = settings.timeout_seconds * (_PATIENCE_PER_URL * len(artifact.urls) + _PATIENCE_SPARE)
        with self._guard(lambda locks: locks.downloading(artifact.sha256, patience)):
            # Another process may have repaired it while we waited; damage that only a full look shows needs
            # one again.
            now = self._index.condition(artifact.sha256, settings.full and bool(condition.damage))
            if not needs_tree(artifact, now):
                return None, now
            if now.damage:
                discard_tree(self._layout, self._index, artifact.sha256)
            fetcher = Fetcher(
                self._layout,
                self._index,
                limits=settings.limits,
                timeout_seconds=settings.timeout_seconds,
                # Twice the cores: while one waits for the disk at the end of its file, another works.
                workers=max(1, min(settings.concurrency, 2 * (os.cpu_count() or 1))),
                pause_seconds=settings.pause_seconds,
                make_room=self._make_room,
                waiting=lambda: tuple(self._waiting),
            )
            fetched = fetcher.fetch(artifact)
            return fetched, Condition(fetched.receipt, now.damage)

    def _make_room(self, free_bytes: int) -> None:
        from .collect import make_room  # seldom needed

        if self._locks is not None:
            make_room(self._layout, self._locks, free_bytes)

    def _observe(self, artifact: Artifact, condition: Condition) -> Observed:
        target = self._target(artifact, condition.receipt)
        link_right = not artifact.link or links.read_own(artifact.link) == target
        model_right = links.read(self._layout.model(artifact.name)) == _model_target(artifact)
        return Observed(condition, self._index.ref(artifact.name), link_right and model_right)

    def _target(self, artifact: Artifact, receipt: Optional[Receipt]) -> str:
        tree = self._layout.tree(artifact.sha256)
        if artifact.shape.format != "file":
            return tree
        return os.path.join(tree, single_file(receipt) if receipt else artifact.file_name)

    def _finish(
        self,
        artifact: Artifact,
        outcome: str,
        receipt: Optional[Receipt],
        fetched: Optional[Fetched],
        seen: Observed,
        began: float,
    ) -> Result:
        """Write ref and links where the outcome asks for it; return the result."""
        self._after[artifact.name] = desired(artifact)
        known = seen.ref.source_url if seen.ref and seen.ref.sha256 == artifact.sha256 else ""
        source = (public_url(fetched.url) if fetched else known) or public_url(artifact.urls[0])
        tree, target = self._layout.tree(artifact.sha256), self._target(artifact, receipt)
        if receipt:
            check_expected(artifact, receipt)
        if receipt and not self._settings.predict:
            if outcome != HIT:
                self._commit(artifact, receipt, source)
            self._index.touch(artifact.sha256)
        return Result(
            name=artifact.name,
            sha256=artifact.sha256,
            path=tree,
            file=target if target != tree else None,
            outcome=outcome,
            source_url=source,
            bytes_downloaded=fetched.received if fetched else 0,
            seconds=round(time.monotonic() - began, 3),
        )

    def _commit(self, artifact: Artifact, receipt: Receipt, source_url: str) -> None:
        with self._guard(lambda locks: locks.changing_refs()):
            current = self._index.ref(artifact.name)
            if current and current.link and current.link != artifact.link:
                links.remove(current.link, self._layout.trees)
            self._index.write_ref(wanted(artifact, receipt, current, source_url, timestamp(time.time())))
            if artifact.link:
                links.swap(artifact.link, self._target(artifact, receipt))
            target = _model_target(artifact)
            if target:
                links.swap(self._layout.model(artifact.name), target)
            else:
                links.remove(self._layout.model(artifact.name), "../trees")
            self._index.regenerate()

    def _remove(self, name: str, link: str) -> Result:
        ref = self._index.ref(name)
        ours = {path for path in (link, ref.link if ref else "") if path}
        there = ref is not None or any(self._is_ours(path) for path in ours)
        outcome = REMOVED if there else ABSENT
        if there and not self._settings.predict:
            with self._guard(lambda locks: locks.changing_refs()):
                for path in ours:
                    links.remove(path, self._layout.trees)
                links.remove(self._layout.model(name), "../trees")
                self._index.drop_ref(name)
                self._index.regenerate()
            if ref:
                self._remove_tree(ref)
        return Result(name, ref.sha256 if ref else None, None, None, outcome, ref.source_url if ref else None)

    def _is_ours(self, path: str) -> bool:
        return (links.read(path) or "").startswith(self._layout.trees + "/")

    def _remove_tree(self, ref: Ref) -> None:
        """Remove the tree when no name refers to it.

        A tree that a job reads stays for the collector.
        """
        with self._guard(lambda locks: locks.removing(ref.sha256)) as free:
            if free and not self._others(ref.sha256, frozenset()):
                discard_tree(self._layout, self._index, ref.sha256)

    def _regenerate(self) -> bool:
        """Write the generated files if they do not match the refs.

        Returns whether they did not.
        """
        if self._index.generated_current() or (self._settings.predict and not self._layout.exists()):
            return False
        if not self._settings.predict:
            with self._guard(lambda locks: locks.changing_refs()):
                self._index.regenerate()
        return True

    def _guard(
        self, take: Callable[[Locks], contextlib.AbstractContextManager[Any]]
    ) -> contextlib.AbstractContextManager[Any]:
        """Return the lock that ``take`` chooses.

        A prediction takes none, because that writes lock files.
        """
        return contextlib.nullcontext() if self._locks is None else take(self._locks)


def _model_target(artifact: Artifact) -> Optional[str]:
    return f"../trees/{artifact.sha256}" if artifact.kind == "model" else None


def _combined(errors: Sequence[CiError], count: int, report: Report) -> CiError:
    details = {"changed": report.changed, "artifacts": [result._asdict() for result in report.results]}
    if len(errors) == 1:
        return CiError(str(errors[0]), **details)
    sentences = " ".join(str(error) for error in errors)
    return CiError(f"{len(errors)} of {count} artifacts failed: {sentences}", **details)
