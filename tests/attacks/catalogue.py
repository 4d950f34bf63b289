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

An attack that is blocked proves nothing if it could never win. Either the same ``job`` wins when root runs it
outside of the sandbox (the control), or ``proof`` says why there is no control and when the attack wins.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).with_name("data")
KINDS = ("way out", "next job", "neighbours", "host", "network", "secrets")
STAGES = ("before", "job", "neighbour", "during", "later", "after", "restore")
#: The stages that run on the host as root.
ROOT_STAGES = ("before", "during", "after", "restore")
USUAL_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Attack:
    """One attack.

    ``needs`` are the programs without which it cannot be tried. ``by_design`` is a heading of
    docs/security.md for an attack that wins by design, and empty for one that must be blocked. The attacks
    of a ``group`` share their jobs. With ``ends_job`` root has to end the attacking job, which then has no
    log.
    """

    name: str
    kind: str
    group: str
    stages: dict[str, str]
    needs: tuple[str, ...] = ()
    by_design: str = ""
    proof: str = ""
    seconds: int = USUAL_SECONDS
    ends_job: bool = False

    @property
    def has_control(self) -> bool:
        """Whether root's run of the same script outside of the sandbox must win."""
        return not self.proof and not self.by_design


def parse(entry: dict[str, Any], group: str) -> Attack:
    """Return the attack of one entry; raises ValueError for a wrong entry."""
    data = dict(entry)
    name = data.pop("name", "")
    stages = {stage: data.pop(stage) for stage in STAGES if stage in data}
    needs = tuple(data.pop("needs", "").split())
    attack = Attack(name=name, stages=stages, needs=needs, **{"group": group, **data})
    if "job" not in stages or attack.kind not in KINDS:
        raise ValueError(f"Attack {name!r} needs a stage 'job' and one of the kinds {', '.join(KINDS)}.")
    if attack.has_control and set(stages) - {"before", "job", "restore"}:
        raise ValueError(f"Attack {name!r} has several stages, so it needs a proof that it can win.")
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
