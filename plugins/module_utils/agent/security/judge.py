"""The checks of the security report. Pure.

A function per check yields a need for each fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Optional

from ..report.needs import ATTENTION, CRITICAL, Need
from .facts import Account, Facts, SudoRule

#: The highest exposure of a runner unit, by profile of the role hardening.
LIMITS = {"strict": 1.1, "build": 1.5, "containers": 3.5, "desktop": 3.5}
RUNNER_UNITS = "coldvox-runner@"
_CONVERGE = "run 'ansible-playbook site.yml --tags hardening' for this host"
# Members of these groups become root without a rule of sudo, or by the rules that distributions ship.
_ADMINS = frozenset(
    ["root", "sudo", "wheel", "admin", "docker", "lxd", "incus-admin", "libvirt", "disk", "shadow"]
)


class Check(NamedTuple):
    """A check and its faults; None if a fact that it needs is unknown."""

    name: str
    faults: Optional[tuple[Need, ...]]


def checks(facts: Facts) -> tuple[Check, ...]:
    """Return every check, in a fixed order."""
    return tuple(
        Check(name, None if facts._asdict()[source] is None else tuple(judge(facts)))
        for name, source, judge in _CHECKS
    )


def _judge_profile(facts: Facts) -> Iterator[Need]:
    if facts.profile in LIMITS or not facts.runners:
        return
    what = "The runner units have no sandbox" + (", because the profile is off." if facts.profile else ".")
    yield Need(CRITICAL, what, f"set hardening_profile: build, then {_CONVERGE}")


def _judge_exposure(facts: Facts) -> Iterator[Need]:
    limit = LIMITS.get(facts.profile)
    for unit in facts.units or ():
        if limit is not None and unit.name.startswith(RUNNER_UNITS) and unit.exposure > limit:
            yield Need(
                ATTENTION,
                f"{unit.name} has the exposure {unit.exposure:.1f}; the limit of the profile {facts.profile} "
                f"is {limit:.1f}.",
                f"see 'systemd-analyze security {unit.name}' and its drop-ins, then {_CONVERGE}",
            )


def _judge_bus(facts: Facts) -> Iterator[Need]:
    for runner in facts.runners or ():
        if runner.reaches_bus:
            yield Need(
                CRITICAL,
                f"Jobs of {runner.name} reach the system bus, and through it services of root.",
                f"{_CONVERGE}; the unit gets its sandbox with its next start",
            )


def _judge_lingering(facts: Facts) -> Iterator[Need]:
    accounts = {account.name for account in facts.accounts if account.runs_jobs}
    for name in sorted(accounts.intersection(facts.lingering)):
        yield Need(
            CRITICAL,
            f"The account {name} may run a user manager, outside of the sandbox of its jobs.",
            f"run 'loginctl disable-linger {name}' and look for its units in its home",
        )


def _judge_polkit(facts: Facts) -> Iterator[Need]:
    if not facts.polkit_rule:
        yield Need(CRITICAL, "No rule of polkit refuses the accounts of jobs.", _CONVERGE)


def _judge_path(facts: Facts) -> Iterator[Need]:
    for runner in facts.runners or ():
        for place in runner.early_path:
            yield Need(
                CRITICAL,
                f"A job of {runner.name} can replace programs of later jobs, because {place} comes before "
                "the directories of the system in PATH and the job can write there.",
                "put the directory at the end of github_runner_path, or give it to root",
            )


def _judge_sudo(facts: Facts) -> Iterator[Need]:
    for account in facts.accounts:
        for rule in facts.sudo or ():
            if account.runs_jobs and _names(rule, account):
                commands = ", ".join(rule.commands[:3])
                yield Need(
                    CRITICAL,
                    f"Jobs of {account.name} may use sudo for {commands} "
                    f"{'with the password of the account' if rule.asks_password else 'without a password'}.",
                    "remove the rule from /etc/sudoers or /etc/sudoers.d",
                )


def _names(rule: SudoRule, account: Account) -> bool:
    names = {"ALL", account.name, f"#{account.uid}", *(f"%{group}" for group in account.groups)}
    return not names.isdisjoint(rule.users)


def _judge_groups(facts: Facts) -> Iterator[Need]:
    for account in facts.accounts:
        for group in sorted(_ADMINS.intersection(account.groups)) if account.runs_jobs else ():
            yield Need(
                CRITICAL,
                f"The account {account.name}, which runs jobs, is in the group {group}.",
                f"run 'gpasswd --delete {account.name} {group}'",
            )


def _judge_login(facts: Facts) -> Iterator[Need]:
    for account in facts.accounts:
        if account.runs_jobs and (account.can_login or account.has_password):
            yield Need(
                CRITICAL,
                f"The account {account.name}, which runs jobs, can log in.",
                f"run 'usermod --lock --shell /usr/sbin/nologin {account.name}'",
            )


def _judge_sshd(facts: Facts) -> Iterator[Need]:
    settings = facts.sshd or {}
    edit = "in a file in /etc/ssh/sshd_config.d, then 'systemctl reload ssh' or 'systemctl reload sshd'"
    # Keyboard-interactive asks for the password by PAM.
    for name in ("passwordauthentication", "kbdinteractiveauthentication"):
        if settings.get(name) == "yes":
            yield Need(ATTENTION, f"SSH accepts passwords ({name} yes).", f"set '{name} no' {edit}")
    if settings.get("permitrootlogin") == "yes":
        yield Need(ATTENTION, "SSH lets root log in with a password.", f"set 'permitrootlogin no' {edit}")


def _judge_setuid(facts: Facts) -> Iterator[Need]:
    for path in facts.foreign_setuid or ():
        yield Need(
            ATTENTION,
            f"{path} runs with the rights of its owner for everyone, and no package contains it.",
            f"find out where it comes from; if nothing needs it, run 'chmod ug-s {path}'",
        )


def _judge_loose(facts: Facts) -> Iterator[Need]:
    for path in facts.loose:
        yield Need(
            CRITICAL,
            f"{path} decides what root does, and others than root can write to it.",
            f"look at its content, then run 'chown root {path}' and 'chmod go-w {path}'",
        )


def _judge_store(facts: Facts) -> Iterator[Need]:
    if facts.store_fault:
        what, _semicolon, todo = facts.store_fault.rstrip(".").partition("; ")
        yield Need(CRITICAL, f"{what}.", todo or "run 'runnerctl cache verify --full' as root")


def _judge_public(facts: Facts) -> Iterator[Need]:
    for runner in facts.runners or ():
        if runner.url and runner.url in (facts.public or ()):
            yield Need(
                ATTENTION,
                f"{runner.name} keeps its registration with {runner.url}, which is public: everyone can "
                "propose a change whose jobs run here.",
                "set jit: true for the instance; let GitHub ask before it runs workflows of outsiders",
            )


def _judge_recording(facts: Facts) -> Iterator[Need]:
    if facts.audit_wanted and facts.unrecorded:
        what, _semicolon, todo = facts.unrecorded.rstrip(".").partition("; ")
        yield Need(ATTENTION, f"Changes are not recorded: {what}.", todo)


def _judge_updates(facts: Facts) -> Iterator[Need]:
    if not facts.updates:
        yield Need(
            ATTENTION,
            "No timer installs security updates.",
            "set system_packages_security_updates: true, then run 'ansible-playbook site.yml --tags "
            "system_packages' for this host",
        )


# The name of a check, the fact without which it is not possible, and its function.
_CHECKS = (
    ("The runner units have a sandbox", "runners", _judge_profile),
    ("The exposure of runner units is within the profile's limit", "units", _judge_exposure),
    ("Jobs do not reach the system bus", "runners", _judge_bus),
    ("Accounts of jobs have no user manager", "lingering", _judge_lingering),
    ("Polkit refuses the accounts of jobs", "polkit_rule", _judge_polkit),
    ("Jobs cannot replace programs in PATH", "runners", _judge_path),
    ("Accounts of jobs have no rules of sudo", "sudo", _judge_sudo),
    ("Accounts of jobs are in no powerful group", "accounts", _judge_groups),
    ("Accounts of jobs cannot log in", "accounts", _judge_login),
    ("SSH accepts keys only", "sshd", _judge_sshd),
    ("Setuid files come from packages", "foreign_setuid", _judge_setuid),
    ("Only root can write to files that decide what root does", "loose", _judge_loose),
    ("Only root can write to the store", "store_fault", _judge_store),
    ("No kept registration is with a public repository", "public", _judge_public),
    ("The kernel records changes, if the inventory wants it", "unrecorded", _judge_recording),
    ("Security updates install by themselves", "updates", _judge_updates),
)
