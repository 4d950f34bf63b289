"""Decide what an artifact needs and how its outcome is reported. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Optional

from ..errors import CiError
from ..host.sizes import size
from .artifact import Artifact
from .index import Ref, desired, shown
from .receipt import Condition

HIT, FETCHED, REPAIRED, LINKED = "hit", "fetched", "repaired", "linked"
REMOVED, ABSENT = "removed", "absent"
_ORDER = (FETCHED, REPAIRED, LINKED, HIT, REMOVED, ABSENT)


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


class Observed(NamedTuple):
    """The state of one artifact: its tree, its ref, and whether its links are right."""

    condition: Condition
    ref: Optional[Ref]
    links_right: bool


def has_other_shape(artifact: Artifact, condition: Condition) -> bool:
    """Tell whether the tree is there, unpacked in another way than ``artifact`` wants."""
    return condition.receipt is not None and condition.receipt.shape != artifact.shape


def needs_tree(artifact: Artifact, condition: Condition) -> bool:
    """Tell whether the tree has to be fetched."""
    return condition.receipt is None or has_other_shape(artifact, condition)


def check_shape(artifact: Artifact, other_names: Sequence[str]) -> None:
    """Raise CiError when ``other_names`` rely on the tree in its present shape.

    They are the installed names that share the digest and are not part of this call.
    """
    if other_names:
        raise CiError(
            f"Artifact {artifact.name}: the same content is installed as {', '.join(other_names)} with "
            "another format, strip_components or executable; let all of them agree.",
            artifact=artifact.name,
        )


def outcome_of(artifact: Artifact, observed: Observed, fetch: bool) -> str:
    """Return the outcome of ``artifact``, as reported to the user."""
    if fetch:
        return REPAIRED if observed.condition.damage else FETCHED
    return HIT if observed.links_right and shown(observed.ref) == desired(artifact) else LINKED


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
