"""Labels: what GitHub adds by itself, what we add, and when two sets are the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import CiError

_SYSTEM_BY_MACHINE = {"x86_64": "X64", "amd64": "X64", "aarch64": "ARM64", "arm64": "ARM64", "armv7l": "ARM"}
_ARCHITECTURES = frozenset(["x64", "arm64", "arm", "x86"])
_COMMON = frozenset(["self-hosted", "linux"])
# A longer one silently empties the whole set in the runner's unattended configuration
# (ConfigurationManager.cs).
_LENGTH_LIMIT = 256
_COUNT_LIMIT = 100  # per request, GitHub's OpenAPI description


def system_labels(machine: str) -> tuple[str, ...]:
    """Return the labels that a Linux runner on ``machine`` (as uname gives it) gets without being asked."""
    architecture = _SYSTEM_BY_MACHINE.get(machine.lower())
    return ("self-hosted", "Linux") + ((architecture,) if architecture else ())


def custom_labels(labels: Iterable[str], *, default_labels: bool = True) -> tuple[str, ...]:
    """Return what has to be asked for: the distinct ``labels`` in order, without those that come by
    themselves.

    Raises CiError for a label that the runner would split, drop or refuse. Without ``default_labels``
    nothing comes by itself, so everything is asked for.
    """
    given_by_default = _COMMON | _ARCHITECTURES if default_labels else frozenset[str]()
    chosen: dict[str, str] = {}
    for label in labels:
        check_label(label)
        if label.lower() not in given_by_default:
            chosen.setdefault(label.lower(), label)
    if len(chosen) > _COUNT_LIMIT:
        raise CiError(f"{len(chosen)} labels are more than the {_COUNT_LIMIT} that GitHub takes; name fewer.")
    return tuple(chosen.values())


def check_label(label: str) -> None:
    """Raise CiError unless ``label`` reaches GitHub as it stands."""
    if not label or label != label.strip() or len(label) > _LENGTH_LIMIT:
        raise CiError(
            f"Label '{label[:40]}' cannot be used: it must be 1 to 256 characters without spaces at the ends."
        )
    if "," in label or not label.isprintable():
        raise CiError(
            f"Label {label[:40]!r} cannot be used: the runner splits labels at commas; give them as a list."
        )


def check_architecture(labels: Iterable[str], machine: str) -> None:
    """Raise CiError when ``labels`` claim an architecture other than that of ``machine``: jobs would break
    there.
    """
    own = {label.lower() for label in system_labels(machine)}
    for label in labels:
        if label.lower() in _ARCHITECTURES and label.lower() not in own:
            raise CiError(
                f"Label '{label}' claims an architecture that this host ({machine}) does not have; remove it."
            )


def same_labels(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two sets are the same to GitHub: order and case do not count."""
    return {label.lower() for label in one} == {label.lower() for label in other}
