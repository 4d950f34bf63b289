"""The results of a call for artifacts, and their summary for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from ..errors import CiError
from ..host.sizes import size
from .outcome import ABSENT, FETCHED, HIT, IMPORTED, LINKED, REMOVED, REPAIRED


class Result(NamedTuple):
    """The outcome of one artifact.

    ``path`` is its tree, ``file`` the one file of ``format: file``.
    """

    name: str
    sha256: Optional[str]
    path: Optional[str]
    file: Optional[str]
    outcome: str
    source_url: Optional[str]
    bytes_downloaded: int = 0
    seconds: float = 0.0


class Report(NamedTuple):
    """The outcome of one call.

    ``before`` and ``after`` show the refs, by name, for a diff. ``warnings`` are sentences.
    """

    changed: bool
    results: tuple[Result, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    warnings: tuple[str, ...] = ()


def combined(errors: Sequence[CiError], count: int, report: Report) -> CiError:
    """Return one error for the ``errors`` of a call with ``count`` artifacts."""
    details = {"changed": report.changed, "artifacts": [result._asdict() for result in report.results]}
    if len(errors) == 1:
        return CiError(str(errors[0]), **details)
    sentences = " ".join(str(error) for error in errors)
    return CiError(f"{len(errors)} of {count} artifacts failed: {sentences}", **details)


_ORDER = (FETCHED, IMPORTED, REPAIRED, LINKED, HIT, REMOVED, ABSENT)


def summary(results: Sequence[Result], seconds: float, predicted: bool) -> str:
    """Return how many artifacts had which outcome.

    After the first follows what was transferred in ``seconds``. ``predicted`` results did not happen yet.
    """
    counts = Counter(result.outcome for result in results)
    parts = [f"{counts[outcome]} {outcome}" for outcome in _ORDER if counts[outcome]]
    received = sum(result.bytes_downloaded for result in results)
    if received:
        speed = f", {size(received / seconds)}/s" if seconds > 0 else ""
        parts[0] += f" ({size(received)} in {seconds:.3g} s{speed})"
    text = ", ".join(parts) or "nothing asked for"
    return f"would be: {text}" if predicted else text
