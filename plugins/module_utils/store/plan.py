"""What has to be done for one artifact, decided from what was seen. Pure: check mode and real mode share
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional

from ..errors import CiError
from .receipt import Receipt, missing_paths
from .refs import Ref, desired, shown

if TYPE_CHECKING:
    from .artifact import Artifact

HIT, FETCHED, REPAIRED, LINKED = "hit", "fetched", "repaired", "linked"
REMOVED, ABSENT = "removed", "absent"


class Condition(NamedTuple):
    """The state of one digest's tree: ``receipt`` is set when it can be used, ``damage`` when it must go."""

    receipt: Optional[Receipt] = None
    damage: str = ""


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


def outcome(artifact: Artifact, observed: Observed, fetch: bool) -> str:
    """Return what will have happened to ``artifact``, as reported to the user."""
    if fetch:
        return REPAIRED if observed.condition.damage else FETCHED
    return HIT if observed.links_right and shown(observed.ref) == desired(artifact) else LINKED


def check_expected(artifact: Artifact, receipt: Receipt) -> None:
    """Raise CiError when a path that ``artifact`` expects is not in its tree."""
    missing = missing_paths(receipt, artifact.expect)
    if missing:
        raise CiError(
            f"artifact {artifact.name}: {', '.join(missing)} is expected and not in what was unpacked; "
            "correct expect or strip_components, or take the right archive.",
            artifact=artifact.name,
        )
