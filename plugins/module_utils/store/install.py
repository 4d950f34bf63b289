"""Installing and removing artifacts: looks first, decides by ``plan``, and does only what is missing.

What has to be done for one artifact, decided from what was seen. Pure: check mode and real mode share
it.

What one call did, in one line for people.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from ..errors import CiError
from ..host.clock import boot_id, timestamp
from ..host.durable import storage_error
from ..host.sizes import size
from . import links
from .artifact import Artifact, public_url
from .layout import Layout
from .locks import Locks
from .members import Limits
from .receipt import Condition, Receipt, single_file
from .records import Records, Ref, check_expected, desired, shown, wanted
from .trash import discard_tree, sweep

if TYPE_CHECKING:
    from .artifact import Artifact
    from .fetch import Fetched

HIT, FETCHED, REPAIRED, LINKED = "hit", "fetched", "repaired", "linked"
REMOVED, ABSENT = "removed", "absent"


class Observed(NamedTuple):
    """What was seen for one artifact: its tree, its ref, and whether its links lead where they should."""

    condition: Condition
    ref: Optional[Ref]
    links_right: bool


def has_other_shape(artifact: Artifact, condition: Condition) -> bool:
    """Return whether the tree is there, unpacked in another way than ``artifact`` wants."""
    return condition.receipt is not None and condition.receipt.shape != artifact.shape


def needs_tree(artifact: Artifact, condition: Condition) -> bool:
    """Return whether the tree has to be fetched."""
    return condition.receipt is None or has_other_shape(artifact, condition)


def check_shape(artifact: Artifact, other_names: Sequence[str]) -> None:
    """Raise CiError when others rely on the shape of a tree that ``artifact`` wants in another.

    ``other_names`` are the installed names that share the digest and are not being changed in this call.
    """
    if other_names:
        raise CiError(
            f"artifact {artifact.name}: the same content is installed as {', '.join(other_names)} with "
            "another format, strip_components or executable; let all of them agree.",
            artifact=artifact.name,
        )


def outcome_of(artifact: Artifact, observed: Observed, fetch: bool) -> str:
    """Return what will have happened to ``artifact``, as reported to the user."""
    if fetch:
        return REPAIRED if observed.condition.damage else FETCHED
    return HIT if observed.links_right and shown(observed.ref) == desired(artifact) else LINKED


# As many fruitless tries per url as a downloader makes, and some for its pauses: see download.py.
_PATIENCE_PER_URL = 3
_PATIENCE_SPARE = 2


class Settings(NamedTuple):
    """How to work. ``full`` verifies every byte; ``predict`` changes nothing and only tells what would be
    done.
    """

    limits: Limits
    concurrency: int = 4
    timeout_seconds: float = 60.0
    full: bool = False
    predict: bool = False
    pause_seconds: float = 0.5


class Result(NamedTuple):
    """What happened to one artifact. ``path`` is its tree, ``file`` the one file of ``format: file``."""

    name: str
    sha256: Optional[str]
    path: Optional[str]
    file: Optional[str]
    outcome: str
    source_url: Optional[str]
    bytes_downloaded: int = 0
    seconds: float = 0.0


class Report(NamedTuple):
    """What happened in one call; ``before`` and ``after`` show the refs, by name, for a diff."""

    changed: bool
    results: tuple[Result, ...]
    warnings: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]


class Store:
    """The store at ``root``. One instance serves one call."""

    def __init__(self, root: str, settings: Settings) -> None:
        self._layout = Layout(root)
        self._settings = settings
        self._boot_id = boot_id()
        self._records = Records(self._layout, self._boot_id)
        self._locks: Optional[Locks] = None
        self._after: dict[str, Any] = {}
        self._waiting: list[str] = []
        self._warnings: list[str] = []

    # -- the two things to do

    def install(self, artifacts: Sequence[Artifact]) -> Report:
        """Have every artifact present. All are tried; then one CiError tells of those that failed."""
        with self._opened():
            names = [artifact.name for artifact in artifacts]
            before = self._shown(names)
            groups: dict[str, list[Artifact]] = {}
            for artifact in artifacts:
                groups.setdefault(artifact.sha256, []).append(artifact)
            results, errors = self._settle_all(list(groups.values()), frozenset(names))
            changed = any(result.outcome != HIT for result in results.values())
            changed = self._bring_in_step() or changed
            ordered = tuple(results[name] for name in names if name in results)
            report = Report(changed, ordered, tuple(self._warnings), before, {**before, **self._after})
        if errors:
            raise _combined(errors, len(artifacts), report)
        return report

    def remove(self, items: Iterable[tuple[str, str]]) -> Report:
        """Have every named artifact absent: ``items`` are names, each with its link (may be empty)."""
        with self._opened():
            wanted_names = list(items)
            before = self._shown([name for name, _link in wanted_names])
            results = tuple(self._remove(name, link) for name, link in wanted_names)
            changed = any(result.outcome == REMOVED for result in results)
            changed = self._bring_in_step() or changed
            after: dict[str, Any] = dict.fromkeys(before)
            return Report(changed, results, tuple(self._warnings), before, after)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        """Prepare the store, unless only predicting, and turn what the disk refuses into a sentence."""
        try:
            if self._settings.predict:
                self._layout.check()
            else:
                self._layout.prepare()
                self._locks = Locks(self._layout)
                if not self._locks.works:
                    self._warnings.append(
                        f"locks on the file system of {self._layout.root} do not exclude, so parallel runs "
                        "may download twice; put the store on a local file system."
                    )
                sweep(self._layout, self._locks.works)
            yield
        except OSError as error:
            raise storage_error(f"working on the store {self._layout.root}", error) from error

    def _shown(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: shown(self._records.ref(name)) for name in names}

    # -- present

    def _settle_all(
        self, groups: Sequence[list[Artifact]], names: frozenset[str]
    ) -> tuple[dict[str, Result], list[CiError]]:
        """Settle what is there one after the other, and fetch the rest side by side."""
        results: dict[str, Result] = {}
        errors: list[CiError] = []
        missing = []
        for group in groups:
            try:
                settled = self._settle(group, names, may_fetch=self._settings.predict)
            except CiError as error:
                errors.append(error)
                continue
            if settled is None:
                missing.append(group)
            else:
                results.update({result.name: result for result in settled})
        if missing:
            for outcome in self._fetch_all(missing, names):
                if isinstance(outcome, CiError):
                    errors.append(outcome)
                else:
                    results.update({result.name: result for result in outcome})
        return results, errors

    def _fetch_all(
        self, groups: Sequence[list[Artifact]], names: frozenset[str]
    ) -> Iterator[list[Result] | CiError]:
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
            yield from pool.map(settle, groups)

    def _settle(
        self, group: list[Artifact], names: frozenset[str], may_fetch: bool
    ) -> Optional[list[Result]]:
        """Bring the names of one digest in order; None when that needs a download and ``may_fetch`` is
        false.
        """
        began = time.monotonic()
        first = group[0]
        with self._guard(lambda locks: locks.reading(first.sha256)):
            condition = self._records.condition(first.sha256, self._settings.full)
            if has_other_shape(first, condition):
                check_shape(first, self._others(first.sha256, names))
            observed = [self._observe(artifact, condition) for artifact in group]
            fetch = needs_tree(first, condition)
            if fetch and not may_fetch:
                return None
            fetched = None
            if fetch and not self._settings.predict:
                fetched, condition = self._fetch_once(first, condition)
                fetch = fetched is not None
            elif condition.receipt and not self._settings.predict:
                self._records.renew_boot(condition.receipt)
            results = []
            for artifact, seen in zip(group, observed):
                is_first = artifact is first
                outcome = outcome_of(artifact, seen._replace(condition=condition), fetch and is_first)
                results.append(
                    self._finish(
                        artifact, outcome, condition.receipt, fetched if is_first else None, seen, began
                    )
                )
            return results

    def _others(self, sha256: str, names: frozenset[str]) -> tuple[str, ...]:
        return tuple(
            ref.name
            for ref in self._records.refs().values()
            if ref.sha256 == sha256 and ref.name not in names
        )

    def _fetch_once(self, artifact: Artifact, condition: Condition) -> tuple[Optional[Fetched], Condition]:
        """Fetch under the download lock, unless somebody else did so while we waited for it."""
        from .fetch import (
            Fetcher,  # urllib, ssl, zipfile, tarfile: a quarter of a second nobody needs on a hit
        )

        settings = self._settings
        urls = len(artifact.urls)
        patience = settings.timeout_seconds * (_PATIENCE_PER_URL * urls + _PATIENCE_SPARE)
        with self._guard(lambda locks: locks.downloading(artifact.sha256, artifact.name, patience)):
            # Somebody may have fetched or repaired it while we waited; what only a full look found needs one.
            now = self._records.condition(artifact.sha256, settings.full and bool(condition.damage))
            if not needs_tree(artifact, now):
                return None, now
            if now.damage:
                discard_tree(self._layout, self._records, artifact.sha256)
            fetcher = Fetcher(
                self._layout,
                self._records,
                boot_id=self._boot_id,
                limits=settings.limits,
                timeout_seconds=settings.timeout_seconds,
                # Twice the cores: each waits for the disk at the end of its file, and another goes on.
                workers=max(1, min(settings.concurrency, 2 * (os.cpu_count() or 1))),
                shared_partials=self._locks is not None and self._locks.shared_partials(),
                pause_seconds=settings.pause_seconds,
                waiting=lambda: tuple(self._waiting),
            )
            fetched = fetcher.fetch(artifact)
            return fetched, Condition(fetched.receipt, now.damage)

    def _observe(self, artifact: Artifact, condition: Condition) -> Observed:
        link_right = not artifact.link or links.read(artifact.link) == self._target(
            artifact, condition.receipt
        )
        model = self._layout.model(artifact.name)
        model_right = links.read(model) == self._model_target(artifact)
        return Observed(condition, self._records.ref(artifact.name), link_right and model_right)

    def _target(self, artifact: Artifact, receipt: Optional[Receipt]) -> str:
        tree = self._layout.tree(artifact.sha256)
        if artifact.shape.format != "file":
            return tree
        return os.path.join(tree, single_file(receipt) if receipt else artifact.file_name)

    def _model_target(self, artifact: Artifact) -> Optional[str]:
        return f"../trees/{artifact.sha256}" if artifact.kind == "model" else None

    def _finish(
        self,
        artifact: Artifact,
        outcome: str,
        receipt: Optional[Receipt],
        fetched: Optional[Fetched],
        seen: Observed,
        began: float,
    ) -> Result:
        """Write ref and links where the outcome asks for it, and return the result to report."""
        url = public_url(fetched.url) if fetched else ""
        self._after[artifact.name] = desired(artifact)
        source = url or (seen.ref.source_url if seen.ref and seen.ref.sha256 == artifact.sha256 else "")
        source = source or public_url(artifact.urls[0])
        tree, target = self._layout.tree(artifact.sha256), self._target(artifact, receipt)
        if receipt:
            check_expected(artifact, receipt)
        if receipt and not self._settings.predict:
            if outcome != HIT:
                self._commit(artifact, receipt, source)
            self._records.touch(artifact.sha256)
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
            current = self._records.ref(artifact.name)
            if current and current.link and current.link != artifact.link:
                links.remove(current.link, self._layout.trees)
            self._records.write_ref(wanted(artifact, receipt, current, source_url, timestamp(time.time())))
            if artifact.link:
                links.swap(artifact.link, self._target(artifact, receipt))
            target = self._model_target(artifact)
            if target:
                links.swap(self._layout.model(artifact.name), target)
            else:
                links.remove(self._layout.model(artifact.name), "../trees")
            self._records.regenerate()

    # -- absent

    def _remove(self, name: str, link: str) -> Result:
        ref = self._records.ref(name)
        ours = {path for path in (link, ref.link if ref else "") if path}
        there = ref is not None or any(self._is_ours(path) for path in ours)
        outcome = REMOVED if there else ABSENT
        if there and not self._settings.predict:
            with self._guard(lambda locks: locks.changing_refs()):
                for path in ours:
                    links.remove(path, self._layout.trees)
                links.remove(self._layout.model(name), "../trees")
                self._records.drop_ref(name)
                self._records.regenerate()
            if ref:
                self._collect(ref)
        return Result(name, ref.sha256 if ref else None, None, None, outcome, ref.source_url if ref else None)

    def _is_ours(self, path: str) -> bool:
        return (links.read(path) or "").startswith(self._layout.trees + "/")

    def _collect(self, ref: Ref) -> None:
        """Take the tree away when no name refers to it; one that is being read stays for the collector."""
        with self._guard(lambda locks: locks.taking_away(ref.sha256)) as free:
            if free and not self._others(ref.sha256, frozenset()):
                discard_tree(self._layout, self._records, ref.sha256)

    # -- both

    def _bring_in_step(self) -> bool:
        """Write the generated files anew if they are not in step with the refs; return whether they were
        not.
        """
        if self._records.generated_current() or (self._settings.predict and not self._layout.exists()):
            return False
        if not self._settings.predict:
            with self._guard(lambda locks: locks.changing_refs()):
                self._records.regenerate()
        return True

    def _guard(
        self, take: Callable[[Locks], contextlib.AbstractContextManager[Any]]
    ) -> contextlib.AbstractContextManager[Any]:
        """Return the lock that ``take`` chooses; predicting takes none, because that would write lock
        files.
        """
        return contextlib.nullcontext() if self._locks is None else take(self._locks)


def _combined(errors: Sequence[CiError], count: int, report: Report) -> CiError:
    details = {"changed": report.changed, "artifacts": [result._asdict() for result in report.results]}
    if len(errors) == 1:
        return CiError(str(errors[0]), **details)
    told = " ".join(str(error) for error in errors)
    return CiError(f"{len(errors)} of {count} artifacts failed: {told}", **details)


_ORDER = (FETCHED, REPAIRED, LINKED, HIT, REMOVED, ABSENT)


def summary(results: Sequence[Result], seconds: float, predicted: bool) -> str:
    """Return how many artifacts had which outcome; what was transferred in ``seconds`` stands with the first.

    ``predicted`` results did not happen yet.
    """
    counts = Counter(result.outcome for result in results)
    parts = [f"{counts[outcome]} {outcome}" for outcome in _ORDER if counts[outcome]]
    received = sum(result.bytes_downloaded for result in results)
    if received:
        speed = f", {size(received / seconds)}/s" if seconds > 0 else ""
        parts[0] += f" ({size(received)} in {seconds:.3g} s{speed})"
    told = ", ".join(parts) or "nothing asked for"
    return f"would be: {told}" if predicted else told
