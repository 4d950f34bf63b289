"""Run the attacks of a group in a world, and decide what became of each."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence

from testbed.errors import TestbedError
from testbed.github.client import AdminClient

from . import batch
from .catalogue import STAGES, Attack

BASE = "/var/lib/actions-runner"
INSTANCE, NEIGHBOUR = "laptop-extra-lint", "laptop-extra-test"
LABELS = {INSTANCE: ["fedora", "nobara", "fast-lint"], NEIGHBOUR: ["fedora", "nobara", "light-test"]}
#: A file in the attacking job's RUNNER_TEMP shows that it is ready for the stages of the others; root writes
#: a second file when they are done.
TEMP = f"{BASE}/{INSTANCE}/_work/_temp"
HOLD = """\
touch "$RUNNER_TEMP/ready"
for _ in $(seq 900); do [ -e "$RUNNER_TEMP/go" ] && break; sleep 0.1; done
"""
JOB_SECONDS = 120
#: An attack with one of these stages wins there only: its own job may well see what it has planted.
DECIDING = ("neighbour", "during", "later", "after")
BLOCKED, BY_DESIGN, WON, NOT_TRIED = "blocked", "won by design", "WON", "NOT TRIED"
Root = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an attack: a verdict, its reason, and the output of all stages."""

    attack: Attack
    verdict: str
    reason: str
    output: str


class Campaign:
    """Attacks on one host.

    ``root`` runs a script there as root and returns its output. A job may take ``job_seconds``.
    """

    def __init__(self, github: AdminClient, root: Root, job_seconds: int = JOB_SECONDS) -> None:
        self._github = github
        self._root = root
        self._job_seconds = job_seconds
        self._stuck = ""

    def run(self, attacks: Sequence[Attack]) -> dict[str, Outcome]:
        """Run all stages of a group; return the outcomes by name.

        A runner that takes no job any more would delay each group by ``job_seconds``, so it fails at once.
        """
        assert not self._stuck, f"no more attacks, because of an earlier one: {self._stuck}"
        nonce = f"attack-{secrets.token_hex(6)}"
        variables = _variables(nonce, self._github.url)
        outputs: dict[str, str] = {}
        try:
            self._perform(attacks, variables, outputs)
        finally:
            self._stage(attacks, "restore", variables)
        control = self._control(attacks, variables)
        return {attack.name: _judge(attack, outputs, control, nonce) for attack in attacks}

    def _perform(
        self, attacks: Sequence[Attack], variables: Mapping[str, str], outputs: dict[str, str]
    ) -> None:
        outputs["before"] = self._stage(attacks, "before", variables)
        holds = any({"neighbour", "during"} & set(attack.stages) for attack in attacks)
        job = self._queue(INSTANCE, batch.script(attacks, "job", variables, ending=HOLD if holds else ""))
        try:
            if holds:
                self._root(f"for _ in $(seq 900); do [ -e {TEMP}/ready ] && exit 0; sleep 0.1; done; exit 1")
                if _any(attacks, "neighbour"):
                    other = {**variables, "INSTANCE": NEIGHBOUR, "NEIGHBOUR": INSTANCE}
                    other["MINE"], other["THEIRS"] = variables["THEIRS"], variables["MINE"]
                    number = self._queue(NEIGHBOUR, batch.script(attacks, "neighbour", other))
                    outputs["neighbour"] = self._log(number)
                outputs["during"] = self._stage(attacks, "during", variables)
        finally:
            if holds:
                self._root(f"touch {TEMP}/go || true")
        outputs["job"] = self._log(job)
        if _any(attacks, "later"):
            outputs["later"] = self._log(self._queue(INSTANCE, batch.script(attacks, "later", variables)))
        outputs["after"] = self._stage(attacks, "after", variables)

    def _queue(self, instance: str, script: str) -> int:
        return self._github.queue_job(LABELS[instance], script, name="attack")

    def _log(self, number: int) -> str:
        """Return the log of a job as soon as it has ended, or why it has not."""
        try:
            return str(self._github.wait_for_job(number, timeout_seconds=self._job_seconds)["log"])
        except TestbedError as error:
            self._stuck = str(error)
            return str(error)

    def _stage(self, attacks: Sequence[Attack], stage: str, variables: Mapping[str, str]) -> str:
        if not _any(attacks, stage):
            return ""
        return self._root(batch.script(attacks, stage, variables))

    def _control(self, attacks: Iterable[Attack], variables: Mapping[str, str]) -> str:
        """Return what root's run of the scripts outside of the sandbox prints."""
        tried = [attack for attack in attacks if attack.has_control]
        return self._root(batch.script(tried, "job", variables)) if tried else ""


def _any(attacks: Iterable[Attack], stage: str) -> bool:
    return any(stage in attack.stages for attack in attacks)


def _variables(nonce: str, github_url: str) -> dict[str, str]:
    return {
        "NONCE": nonce,
        "GITHUB": github_url,
        "INSTANCE": INSTANCE,
        "NEIGHBOUR": NEIGHBOUR,
        "ACCOUNT": f"ci-{INSTANCE}",
        "UNIT": f"coldvox-runner@{INSTANCE}.service",
        "BASE": BASE,
        "MINE": f"{BASE}/{INSTANCE}",
        "THEIRS": f"{BASE}/{NEIGHBOUR}",
    }


def _judge(attack: Attack, outputs: Mapping[str, str], control: str, nonce: str) -> Outcome:
    """Return what became of an attack.

    It is blocked only if every stage was tried, no stage won, and its control won.
    """
    stages = [stage for stage in STAGES if stage in attack.stages and stage != "restore"]
    seen = {stage: batch.read(outputs.get(stage, ""), attack.name, nonce) for stage in stages}
    obstacles = [f"{stage}: {each.obstacle}" for stage, each in seen.items() if each.obstacle]
    deciding = [stage for stage in stages if stage in DECIDING] or ["job"]
    winners = [stage for stage in deciding if seen[stage].won]
    output = "\n".join(f"--- {stage}\n{outputs.get(stage, '')}" for stage in stages)
    if winners:
        verdict = BY_DESIGN if attack.by_design else WON
        return Outcome(attack, verdict, f"its marker is in the stage {', '.join(winners)}", output)
    if obstacles:
        return Outcome(attack, NOT_TRIED, "; ".join(obstacles), output)
    if attack.has_control and not batch.read(control, attack.name, nonce).won:
        reason = "root's run outside of the sandbox did not win either"
        return Outcome(attack, NOT_TRIED, reason, f"{output}\n--- control\n{control}")
    return Outcome(attack, BLOCKED, "no marker", output)
