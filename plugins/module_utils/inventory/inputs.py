"""Finds inventory variables that look like a role's input but are none: typos that nothing else reports."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

# Two letters wrong or missing in a name of this length are below it, another word is not.
_ALL_BUT = 0.88


class UnknownInput(NamedTuple):
    """A variable that no role declares, the role it was probably meant for, and the nearest declared name.

    An empty role stands for the collection as a whole.
    """

    name: str
    role: str
    suggestion: Optional[str]

    def __str__(self) -> str:
        meant = f", did you mean '{self.suggestion}'" if self.suggestion else ""
        owner = f"the role '{self.role}'" if self.role else "the collection"
        return f"'{self.name}' is no input of {owner}{meant}"


def unknown_inputs(names: Iterable[str], inputs: Mapping[str, Iterable[str]]) -> list[UnknownInput]:
    """Return the variables in ``names`` that start like an input of a role but are not declared by any.

    ``inputs`` maps each role to the variables of its argument specs. A name belongs to the role with the
    longest name that it starts with (``vosk_models_x`` is no input of a role ``vosk``). Sorted by name.
    """
    declared = {variable for variables in inputs.values() for variable in variables}
    found = []
    for name in sorted(set(names) - declared):
        owners = [role for role in inputs if name.startswith(role + "_")]
        if owners:
            role = max(owners, key=len)
            found.append(UnknownInput(name, role, _nearest(name, role, inputs[role])))
    return found


def misspelt_shared(names: Iterable[str], shared: Iterable[str]) -> list[UnknownInput]:
    """Return the variables in ``names`` that are all but one of ``shared``, the collection-wide inputs.

    The prefix ``coldvox_`` is not ours alone, so a name that resembles none of them is somebody's own.
    """
    known = sorted(set(shared))
    found = []
    for name in sorted(set(names) - set(known)):
        if name.startswith("coldvox_"):
            near = difflib.get_close_matches(name, known, n=1, cutoff=_ALL_BUT)
            found += [UnknownInput(name, "", one) for one in near]
    return found


def shared_runner_names(host: str, pools: Mapping[str, tuple[str, Iterable[str]]]) -> list[tuple[str, str]]:
    """Return (runner, other host) for every runner of ``host`` that another host has by the same name.

    ``pools`` maps hosts to the page their runners belong to and the runners' names. Two such hosts would take
    the registration from each other, one night after the other (GitHub compares names without case).
    """
    url, names = pools[host]
    own = {name.lower(): name for name in names}
    return [
        (own[name.lower()], other)
        for other, (other_url, others) in sorted(pools.items())
        if other != host and other_url.rstrip("/").lower() == url.rstrip("/").lower()
        for name in others
        if name.lower() in own
    ]


def _nearest(name: str, role: str, candidates: Iterable[str]) -> Optional[str]:
    """Return the candidate closest to ``name``, judged without the prefix that they all share."""
    endings = {candidate[len(role) :]: candidate for candidate in candidates}
    near = difflib.get_close_matches(name[len(role) :], list(endings), n=1)
    return endings[near[0]] if near else None
