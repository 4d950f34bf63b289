"""Make the rules for the instances of this host, and load them with nft.

nft takes a file as one transaction: the old table is replaced as a whole, or stays as it is. The unit of a
runner starts only if its account is in the rules, see ``ready``.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Callable, NamedTuple

from ...errors import CiError
from ...github.client import Transport
from ...host.directories import read_json
from ...host.durable import make_directory, read_text, remove_file, replace_file
from ...host.flock import Flock
from ...host.paths import Paths
from ...host.process import Result, Run
from ...runner.account import SAFE_PATH, account_of, has_account
from ...runner.egress import GITHUB, OFF, Network, Opening, Settings, network_of, settings_of
from ...runner.egress_rules import TABLE, Known, Reach, Subject, ruleset
from ...runner.layout import check_name, instance_user
from .addresses import Addresses, Resolve

SETTINGS = "egress.json"
_NFT_SECONDS = 30.0
_LOCK_SECONDS = 60.0
_GITHUB_PORT = 443


@dataclass(frozen=True)
class Machine:
    """The functions and files of the machine, which tests replace.

    ``now`` returns Unix time.
    """

    run: Run
    now: Callable[[], float]
    resolve: Resolve
    transport: Transport
    resolv_conf: str = "/etc/resolv.conf"
    subuid: str = "/etc/subuid"
    first_port: str = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


class Loaded(NamedTuple):
    """The outcome.

    Whether the rules changed, the policy by instance, and the names without any address.
    """

    changed: bool
    policies: dict[str, str]
    unresolved: list[str]


def load(paths: Paths, machine: Machine) -> Loaded:
    """Load the rules for all instances.

    Raises CiError and leaves the old rules if that is not possible.
    """
    make_directory(paths.run)
    # Only root can open the lock, so no job can hold it.
    lock = Flock(os.path.join(paths.run, "egress.lock"), mode=0o600)
    lock.acquire(_LOCK_SECONDS)
    try:
        return _load(paths, machine)
    finally:
        lock.release()


def _load(paths: Paths, machine: Machine) -> Loaded:
    settings = _settings(os.path.join(paths.config, SETTINGS))
    subjects = [_subject(name, settings, machine) for name in _instances(paths.runners)]
    bound = [subject for subject in subjects if subject.policy != OFF]
    policies = {subject.name: subject.policy for subject in subjects}
    changed = False
    unresolved: list[str] = []
    # Without any instance, the first start of one loads the rules. Until then nft is checked here.
    if bound or settings.policy != OFF:
        known, unresolved = _known(bound, settings, paths, machine)
        changed = _apply(ruleset(bound, known), _directory(paths), machine)
    else:
        _remove_table(machine)
    _mark(paths, subjects)
    return Loaded(changed, policies, unresolved)


def _settings(path: str) -> Settings:
    given = read_json(path)
    if given is None:
        raise CiError(
            f"The egress settings in '{path}' cannot be read; converge the host with the role agent."
        )
    return settings_of(given)


def _instances(base_dir: str) -> Iterator[str]:
    """Yield the instances that have an account: only these can run a process."""
    try:
        names = sorted(entry.name for entry in os.scandir(base_dir) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return
    for name in names:
        try:
            check_name(name)
        except CiError:
            continue
        if has_account(instance_user(name)):
            yield name


def _subject(name: str, settings: Settings, machine: Machine) -> Subject:
    account = account_of(instance_user(name))
    if account.uid == 0:
        raise CiError(
            f"The account '{account.name}' of the runner '{name}' has the user id of root, so rules for it "
            "would cut off the host; remove that account and converge the role github_runner."
        )
    users = [(account.uid, account.uid), *_subordinates(machine.subuid, account.name, account.uid)]
    return Subject(name, settings.policy_of(name), users)


def _subordinates(path: str, name: str, uid: int) -> list[tuple[int, int]]:
    """Return the user ids that the account may take in containers (subuid(5))."""
    ranges = []
    for line in (read_text(path) or "").splitlines():
        owner, _colon, rest = line.strip().partition(":")
        first, _colon, count = rest.partition(":")
        if owner in (name, str(uid)) and first.isdecimal() and count.isdecimal() and int(count):
            ranges.append((int(first), int(first) + int(count) - 1))
    return ranges


def _known(
    subjects: Sequence[Subject], settings: Settings, paths: Paths, machine: Machine
) -> tuple[Known, list[str]]:
    """Return what the rules open, and the names that have no address."""
    addresses = Addresses(os.path.join(paths.state, "egress"), machine.now())
    uses_github = any(subject.policy == GITHUB for subject in subjects)
    mirrors = [m for m in settings.mirrors if uses_github or _is_address(m.host)]
    github: list[Network] = []
    if uses_github:
        found = addresses.github(settings.github_url or "https://github.com", machine.transport)
        github = found.networks
        mirrors += [Opening(f"GitHub {host}", host, _GITHUB_PORT) for host in found.hosts]

    def reaches(openings: Sequence[Opening]) -> list[Reach]:
        return [
            Reach(each.name, addresses.of_host(each.host, machine.resolve), each.port, each.protocol)
            for each in openings
        ]

    first_port = (read_text(machine.first_port) or "").strip()
    known = Known(
        _resolvers(machine.resolv_conf),
        github,
        reaches(settings.exceptions),
        reaches(mirrors),
        int(first_port) if first_port.isdecimal() else Known._field_defaults["first_port"],
    )
    addresses.forget_names_but(each.host for each in [*settings.exceptions, *mirrors])
    addresses.save()
    return known, [reach.name for reach in [*known.exceptions, *known.mirrors] if not reach.networks]


def _is_address(host: str) -> bool:
    try:
        network_of(host)
    except ValueError:
        return False
    return True


def _resolvers(path: str) -> list[Network]:
    """Return the host's resolvers; 127.0.0.1 if resolv.conf(5) names none."""
    words = [line.split() for line in (read_text(path) or "").splitlines()]
    found = []
    for word in words:
        if len(word) > 1 and word[0] == "nameserver":
            try:
                found.append(network_of(word[1].split("%")[0]))
            except ValueError:
                continue
    return found or [ipaddress.ip_network("127.0.0.1")]


def _apply(text: str, directory: str, machine: Machine) -> bool:
    """Check ``text`` and load it; return False if it is loaded already."""
    applied, candidate = os.path.join(directory, "rules.nft"), os.path.join(directory, "candidate.nft")
    # Another program may have flushed all rules, as nftables.service does.
    present = _nft(machine, ["list", "chain", "inet", TABLE, "output"]).status == 0
    if present and read_text(applied) == text:
        return False
    make_directory(directory)
    replace_file(candidate, text)
    for options in (["-c", "-f"], ["-f"]):
        done = _nft(machine, [*options, candidate])
        if done.status != 0:
            raise CiError(
                f"The egress rules in '{candidate}' were not loaded, and the earlier ones stay, because nft "
                f"refuses them ({' '.join(done.stderr.split())[:300]}); correct the egress inputs of the "
                "role agent. On a kernel without nf_tables, set agent_egress to 'off'."
            )
    os.replace(candidate, applied)
    return True


def _nft(machine: Machine, words: Sequence[str]) -> Result:
    """Run nft; raises CiError if the host does not have it."""
    done = machine.run(["nft", *words], environment={"PATH": SAFE_PATH}, timeout_seconds=_NFT_SECONDS)
    if done.status == 127:
        raise CiError(
            "The egress rules cannot be loaded, because this host lacks the program nft; install the package "
            "nftables, or set agent_egress to 'off' to run jobs without rules."
        )
    return done


def _remove_table(machine: Machine) -> None:
    # Without nft there is no table of ours.
    machine.run(["nft", "delete", "table", "inet", TABLE], environment={"PATH": SAFE_PATH})


def _directory(paths: Paths) -> str:
    return os.path.join(paths.run, "egress")


def _ready(paths: Paths) -> list[str]:
    try:
        return os.listdir(os.path.join(_directory(paths), "ready"))
    except FileNotFoundError:
        return []


def _mark(paths: Paths, subjects: Sequence[Subject]) -> None:
    """Leave a file for each instance whose account the rules know.

    The unit of the instance compares the user id in it.
    """
    ready = os.path.join(_directory(paths), "ready")
    make_directory(ready)
    for name in set(_ready(paths)) - {subject.name for subject in subjects}:
        remove_file(os.path.join(ready, name))
    for subject in subjects:
        path, text = os.path.join(ready, subject.name), f"{subject.users[0][0]}\n"
        if read_text(path) != text:
            replace_file(path, text, durable=False)
