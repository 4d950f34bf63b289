"""Find misspelt role inputs in the inventory, which Ansible itself ignores. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

# difflib's ratio: two wrong letters in a name of this length stay above it, another word does not.
_ALL_BUT = 0.88


class UnknownInput(NamedTuple):
    """An undeclared variable, the role that it resembles, and the nearest input.

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
    """Return the undeclared variables in ``names`` that start like a role's input.

    ``inputs`` maps each role to the variables of its argument specs. A name belongs to the role with the
    longest name that it starts with (``vosk_models_x`` is no input of a role ``vosk``). Sorted by name.
    """
    declared = {variable for variables in inputs.values() for variable in variables}
    unknown = []
    for name in sorted(set(names) - declared):
        owners = [role for role in inputs if name.startswith(role + "_")]
        if owners:
            role = max(owners, key=len)
            unknown.append(UnknownInput(name, role, _nearest(name, role, inputs[role])))
    return unknown


def misspelt_shared(names: Iterable[str], shared: Iterable[str]) -> list[UnknownInput]:
    """Return the variables in ``names`` that resemble an input in ``shared``.

    Users may have variables of their own that start with ``coldvox_``, so only a similar name counts.
    """
    known = sorted(set(shared))
    unknown = []
    for name in sorted(set(names) - set(known)):
        if name.startswith("coldvox_"):
            near = difflib.get_close_matches(name, known, n=1, cutoff=_ALL_BUT)
            unknown += [UnknownInput(name, "", candidate) for candidate in near]
    return unknown


def userland_problem(facts: Mapping[str, object]) -> str:
    """Return why the programs of a host cannot be those of its kernel, and what to do; else empty.

    ``facts`` are Ansible's. Roles choose archives by the kernel's architecture (rust-lang/rustup issue 3307).
    """
    machine = facts.get("machine")
    if str(facts.get("userspace_bits")) != "32" or machine not in ("x86_64", "aarch64"):
        return ""
    return (
        f"its programs are for 32 bits and its kernel is for 64 ({machine}), so no runner, toolchain or "
        f"library for {machine} starts there; install its system for 64 bits, or boot its kernel for 32 bits"
    )


def shared_runner_names(host: str, pools: Mapping[str, tuple[str, Iterable[str]]]) -> list[tuple[str, str]]:
    """Return (runner, other host) for each runner name of ``host`` on another host.

    ``pools`` maps a host to the URL that its runners belong to and the runners' names. Two such hosts would
    take the registration from each other every night. GitHub compares names without case.
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
    """Return the candidate closest to ``name``; the role's prefix does not count."""
    endings = {candidate[len(role) :]: candidate for candidate in candidates}
    near = difflib.get_close_matches(name[len(role) :], list(endings), n=1)
    return endings[near[0]] if near else None
