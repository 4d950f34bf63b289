"""Decide what an artifact needs and how its outcome is reported. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

from ..errors import CiError
from .artifact import Artifact
from .index import Ref, desired, shown
from .receipt import Condition

HIT, FETCHED, REPAIRED, LINKED = "hit", "fetched", "repaired", "linked"
IMPORTED, REMOVED, ABSENT = "imported", "removed", "absent"


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


def outcome_of(artifact: Artifact, observed: Observed, fetch: bool, local: bool = False) -> str:
    """Return the outcome of ``artifact``, as reported to the user.

    ``local``: its archive is on this host.
    """
    if fetch and local:
        return IMPORTED
    if fetch:
        return REPAIRED if observed.condition.damage else FETCHED
    return HIT if observed.links_right and shown(observed.ref) == desired(artifact) else LINKED
