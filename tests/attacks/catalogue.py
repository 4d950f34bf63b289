"""The attacks, from the YAML files in ``data``.

An attack is a list of stages. Each stage is a bash script that prints ``$WON`` only if the attack has won.
The stages run in the order of ``STAGES``:

* ``before``: root on the host, for what the attack needs, such as a server.
* ``job``: the attacking job.
* ``neighbour``: a job of another instance, while the attacking job still runs.
* ``during``: root on the host, while the attacking job still runs.
* ``later``: the next job of the attacker's instance.
* ``after``: root on the host, after all jobs.
* ``restore``: root on the host, always. It repairs what a successful attack left.

An attack that is blocked proves nothing if it could never win. So there is a control: the same ``job`` wins
when root runs it outside of the sandbox. If the attack has a stage ``later``, root runs ``job`` between two
jobs, and the next jobs show the marker. Otherwise ``proof`` says why there is no control and when the attack
wins.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).with_name("data")
KINDS = ("way out", "next job", "neighbours", "host", "network", "secrets")
STAGES = ("before", "job", "neighbour", "during", "later", "after", "restore")
#: The stages that run on the host as root.
ROOT_STAGES = ("before", "during", "after", "restore")
USUAL_SECONDS = 20
#: The profiles of the sandbox and the trust classes.
WORDS = frozenset(["strict", "build", "containers", "desktop", "team", "strangers"])


@dataclasses.dataclass(frozen=True)
class Attack:
    """One attack.

    ``needs`` are the programs without which it cannot be tried. ``by_design`` is a heading of
    docs/security.md for an attack that wins by design, and empty for one that must be blocked. ``under``
    names the profiles and trust classes where it wins by design, by default all; elsewhere it must be
    blocked. The attacks of a ``group`` share their jobs. With ``ends_job`` root has to end the attacking job,
    which then has no log.
    """

    name: str
    kind: str
    group: str
    stages: dict[str, str]
    needs: tuple[str, ...] = ()
    by_design: str = ""
    under: tuple[str, ...] = ()
    proof: str = ""
    seconds: int = USUAL_SECONDS
    ends_job: bool = False

    def wins_by_design(self, words: Collection[str]) -> bool:
        """Return whether it wins by design under a setting with these ``words``."""
        return bool(self.by_design) and (not self.under or bool(set(self.under) & set(words)))

    def has_control(self, words: Collection[str]) -> bool:
        """Return whether root's run of the same script outside of the sandbox must win."""
        return not self.proof and not self.wins_by_design(words)


def parse(entry: dict[str, Any], group: str) -> Attack:
    """Return the attack of one entry; raises ValueError for a wrong entry."""
    data = dict(entry)
    name = data.pop("name", "")
    stages = {stage: data.pop(stage) for stage in STAGES if stage in data}
    needs, under = (tuple(data.pop(key, "").split()) for key in ("needs", "under"))
    attack = Attack(name=name, stages=stages, needs=needs, under=under, **{"group": group, **data})
    if "job" not in stages or attack.kind not in KINDS:
        raise ValueError(f"Attack {name!r} needs a stage 'job' and one of the kinds {', '.join(KINDS)}.")
    if attack.has_control(()) and set(stages) - {"before", "job", "later", "restore"}:
        raise ValueError(f"Attack {name!r} has several stages, so it needs a proof that it can win.")
    if set(under) - WORDS or (under and not attack.by_design):
        raise ValueError(
            f"Attack {name!r} needs by_design for under, with words of {', '.join(sorted(WORDS))}."
        )
    return attack


@functools.cache
def attacks() -> tuple[Attack, ...]:
    """Return all attacks, in the order of their files."""
    entries = tuple(_entries())
    names = [attack.name for attack in entries]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"Attacks have the same name: {', '.join(repeated)}; rename one of each.")
    return entries


def _entries() -> Iterator[Attack]:
    for path in sorted(DATA.glob("*.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            yield parse(entry, path.stem)


def groups() -> dict[str, tuple[Attack, ...]]:
    """Return the attacks of each group."""
    named: dict[str, tuple[Attack, ...]] = {}
    for attack in attacks():
        named[attack.group] = (*named.get(attack.group, ()), attack)
    return named
