"""Run the attacks of a group in a world, and decide what became of each."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

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
#: The emulator's log of a job whose worker was killed.
KILLED = "The worker ended with -9 and no result."
#: An attack with one of these stages wins there only: its own job may well see what it has planted.
DECIDING = ("neighbour", "during", "later", "after")
#: An attack with one of these stages needs the job to stay until they are done.
HOLDING = frozenset(["neighbour", "during"])
BLOCKED, BY_DESIGN, WON, NOT_TRIED = "blocked", "won by design", "WON", "NOT TRIED"
#: A job's directories, for root's run of an attack on the next job.
PLACES = {
    "HOME": f"{BASE}/{INSTANCE}/_home",
    "RUNNER_WORKSPACE": f"{BASE}/{INSTANCE}/_work/ColdVox",
    "GITHUB_WORKSPACE": f"{BASE}/{INSTANCE}/_work/ColdVox/ColdVox",
    "RUNNER_TOOL_CACHE": f"{BASE}/{INSTANCE}/_work/_tool",
    "GITHUB_ENV": "/dev/null",
}
PLANTING = 'umask 022; mkdir -p "$GITHUB_WORKSPACE"'
OWNED = 'chown -R "$ACCOUNT:" "$MINE/_home" "$MINE/_work"'
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
        self._able: set[str] = set()

    def run(self, attacks: Sequence[Attack], words: Collection[str]) -> dict[str, Outcome]:
        """Run all stages of a group; return the outcomes by name.

        ``words`` name the setting of the host. A control has no sandbox, so it wins once for all settings.
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
        # A JIT runner has no second start, in which it would find what root has planted.
        tried = [
            each
            for each in attacks
            if each.has_control(words)
            and each.name not in self._able
            and ("team" in words or "later" not in each.stages)
        ]
        control = self._control(tried, variables) if tried else ""
        self._able.update(each.name for each in tried if batch.read(control, each.name, nonce).won)
        unable = {each.name: control for each in tried if each.name not in self._able}
        return {
            each.name: _judge(each, outputs, nonce, each.wins_by_design(words), unable.get(each.name))
            for each in attacks
        }

    def _perform(
        self, attacks: Sequence[Attack], variables: Mapping[str, str], outputs: dict[str, str]
    ) -> None:
        outputs["before"] = self._stage(attacks, "before", variables)
        holds = any(HOLDING & set(attack.stages) for attack in attacks)
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

    def _control(self, attacks: Sequence[Attack], variables: Mapping[str, str]) -> str:
        """Return what root's run of the scripts outside of the sandbox prints.

        What root plants between two jobs shows in the next one. The second one has also a new listener.
        """
        alone = [attack for attack in attacks if "later" not in attack.stages]
        planted = [attack for attack in attacks if "later" in attack.stages]
        output = self._root(batch.script(alone, "job", variables)) if alone else ""
        if not planted:
            return output
        try:
            self._root(f"systemctl restart {variables['UNIT']}")
            self._stage(planted, "before", variables)
            places = {**variables, **PLACES}
            self._root(batch.script(planted, "job", places, prefix=PLANTING, ending=OWNED))
            for _ in range(2):
                output += self._log(self._queue(INSTANCE, batch.script(planted, "later", variables)))
        finally:
            self._stage(planted, "restore", variables)
        return output


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


def _judge(
    attack: Attack, outputs: Mapping[str, str], nonce: str, by_design: bool, unable: str | None
) -> Outcome:
    """Return what became of an attack.

    It is blocked only if every stage was tried, no stage won, and its control won. ``unable`` is the output
    of a control that did not win.
    """
    stages = [stage for stage in STAGES if stage in attack.stages and stage != "restore"]
    seen = {stage: batch.read(outputs.get(stage, ""), attack.name, nonce) for stage in stages}
    if attack.ends_job and KILLED in outputs.get("job", ""):
        seen["job"] = batch.Seen(won=False, obstacle="")
    obstacles = [f"{stage}: {each.obstacle}" for stage, each in seen.items() if each.obstacle]
    deciding = [stage for stage in stages if stage in DECIDING] or ["job"]
    winners = [stage for stage in deciding if seen[stage].won]
    output = "\n".join(f"--- {stage}\n{outputs.get(stage, '')}" for stage in stages)
    if winners:
        verdict = BY_DESIGN if by_design else WON
        return Outcome(attack, verdict, f"its marker is in the stage {', '.join(winners)}", output)
    if obstacles:
        return Outcome(attack, NOT_TRIED, "; ".join(obstacles), output)
    if unable is not None:
        reason = "root's run outside of the sandbox did not win either"
        return Outcome(attack, NOT_TRIED, reason, f"{output}\n--- control\n{unable}")
    return Outcome(attack, BLOCKED, "no marker", output)
