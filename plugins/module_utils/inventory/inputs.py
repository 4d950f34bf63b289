"""Find misspelt role inputs in the inventory, which Ansible itself ignores. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Optional

# difflib's ratio: two wrong letters in a name of this length stay above it, another word does not.
_ALL_BUT = 0.88
# A role's name is shorter, so that the same mistakes weigh more.
_SAME_ROLE = 0.8


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
    longest name that it starts with (``vosk_models_x`` is no input of a role ``vosk``). A name that starts
    almost like a role counts only if it also resembles an input. Sorted by name.
    """
    declared = {variable for variables in inputs.values() for variable in variables}
    unknown = []
    for name in sorted(set(names) - declared):
        owners = [role for role in inputs if name.startswith(role + "_")]
        if owners:
            role = max(owners, key=len)
            unknown.append(UnknownInput(name, role, _nearest(name, role, inputs[role])))
        elif not name.startswith("ansible_"):
            unknown += [
                UnknownInput(name, role, candidate)
                for role in inputs
                if difflib.SequenceMatcher(None, name[: len(role)], role).ratio() >= _SAME_ROLE
                for candidate in difflib.get_close_matches(name, list(inputs[role]), n=1, cutoff=_ALL_BUT)
            ][:1]
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


def unknown_keys(value: Any, options: Mapping[str, Any], path: str) -> list[str]:
    """Return a phrase for each key in ``value`` that ``options`` do not declare.

    ``options`` are the options of an argument spec, ``value`` is a dictionary or a list of them at ``path``.
    """
    phrases = []
    for item in value if isinstance(value, list) else [value]:
        for key in sorted(map(str, item)) if isinstance(item, Mapping) else ():
            option = options.get(key)
            if option is None:
                near = difflib.get_close_matches(key, list(options), n=1)
                meant = f", did you mean '{near[0]}'" if near else f" (known: {', '.join(sorted(options))})"
                phrases.append(f"unknown key {path}.{key}{meant}")
            elif option.get("options"):
                phrases += unknown_keys(item[key], option["options"], f"{path}.{key}")
    return list(dict.fromkeys(phrases))


def role_runs(role: str, run_tags: Collection[str], skip_tags: Collection[str]) -> bool:
    """Return whether a run with these tags includes tasks of ``role``.

    Its tasks have the tags ``<role>`` and ``<role>_<stage>``.
    """
    if role in skip_tags or "tagged" in skip_tags:
        return False
    return any(tag in ("all", "tagged", role) or tag.startswith(f"{role}_") for tag in run_tags)


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
