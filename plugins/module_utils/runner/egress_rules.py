"""The nftables rules that bound what jobs can reach. Pure: text from plain data.

How a packet finds its instance: the output hook sees the user of the socket (``meta skuid``), in the host's
numbers even from a user namespace. That works on every kernel with nf_tables; a match by control group needs
cgroup v2 and new rules at each start of a unit. A packet without a user, such as the kernel's own neighbour
discovery, matches no instance and passes.

Loopback: on its way out, a question (first packet) of an instance is recorded in a set of its own, with both
ends. An answer whose ends are in that set must come from a socket of the same instance. So an instance
reaches its own servers, and no server of the host or of another instance. Connection tracking could do the
same, but it would be switched on for the whole host, and a job could fill its table.

Only packets that an instance sends are refused, and answers to its questions on loopback. Nothing here can
match a packet of SSH between the host and another machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .egress import GITHUB, NONE, OPEN, REFUSED, Network, collapsed
from .layout import instance_user

TABLE = "coldvox_ci"
LOG_PREFIX = "coldvox-ci egress"

_GITHUB_PORTS = "{ 22, 443 }"
# An answer on loopback comes in microseconds; a server may think longer about a datagram.
_TCP_SECONDS, _UDP_SECONDS, _FOREIGN_SECONDS = 3, 30, 2
_MOST_QUESTIONS = 16384
_HOST = "host"


class Subject(NamedTuple):
    """An instance, its policy, and the user ids that its processes can have.

    ``users`` are ranges (first, last); the first one is the account itself.
    """

    name: str
    policy: str
    users: Sequence[tuple[int, int]]

    @property
    def account(self) -> str:
        """The account, by which its chains and sets are named."""
        return instance_user(self.name)

    @property
    def ids(self) -> list[str]:
        """The ranges as nft writes them."""
        return [str(first) if first == last else f"{first}-{last}" for first, last in self.users]


class Reach(NamedTuple):
    """Networks that are open on one port, and why."""

    name: str
    networks: Sequence[Network]
    port: int
    protocol: str


class Known(NamedTuple):
    """The host's resolvers, GitHub's networks, and the open destinations.

    Ports below ``first_port`` are the host's: no instance can listen there.
    """

    resolvers: Sequence[Network]
    github: Sequence[Network]
    exceptions: Sequence[Reach]
    mirrors: Sequence[Reach]
    first_port: int = 1024


def ruleset(subjects: Sequence[Subject], known: Known) -> str:
    """Return the file for ``nft -f``, which replaces the table in one transaction."""
    body = [
        *_sets(subjects),
        _map("away_of", subjects, "away"),
        _map("loopback_of", subjects, "loopback"),
        _chain(
            "output",
            [
                "type filter hook output priority filter; policy accept;",
                'oif "lo" goto loopback',
                "meta skuid vmap @away_of",
            ],
        ),
        _chain(
            "loopback",
            [
                "meta l4proto tcp tcp flags & syn == 0 accept",
                "meta skuid vmap @loopback_of",
                *_answers(_HOST, subjects),
                *_questions(_HOST, subjects),
            ],
        ),
        _chain("exceptions", [rule for reach in known.exceptions for rule in _open(reach)]),
    ]
    for subject in subjects:
        body += _chains(subject, subjects, known)
    # The first line makes the table if there is none, so that the second never fails.
    return "\n".join(
        [
            "# Made by 'runnerctl egress load' (coldvox.ci).",
            f"table inet {TABLE}",
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            *body,
            "}",
            "",
        ]
    )


def _chain(name: str, rules: Iterable[str]) -> str:
    return "\n".join([f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"])


def _map(name: str, subjects: Sequence[Subject], chain: str) -> str:
    elements = [f"{ids} : goto {chain}-{subject.account}" for subject in subjects for ids in subject.ids]
    filled = f" elements = {{ {', '.join(elements)} }}" if elements else ""
    return f"\tmap {name} {{ type uid : verdict; flags interval;{filled} }}"


_FAMILIES = (("4", "ip", "ipv4_addr"), ("6", "ip6", "ipv6_addr"))


def _sets(subjects: Sequence[Subject]) -> list[str]:
    asked = [
        f"\tset asked{number}-{owner} {{ type inet_proto . {kind} . inet_service . {kind} . inet_service; "
        f"flags dynamic,timeout; timeout {_UDP_SECONDS}s; size {_MOST_QUESTIONS}; }}"
        for owner in [*(subject.account for subject in subjects), _HOST]
        for number, _family, kind in _FAMILIES
    ]
    foreign = [
        f"\tset foreign-{subject.account} {{ type inet_proto . inet_service; flags dynamic,timeout; "
        f"timeout {_FOREIGN_SECONDS}s; size 1024; }}"
        for subject in subjects
    ]
    return asked + foreign


def _question(family: str) -> str:
    return f"meta l4proto . {family} saddr . th sport . {family} daddr . th dport"


def _answer(family: str) -> str:
    """Return the key of the question that a packet answers."""
    return f"meta l4proto . {family} daddr . th dport . {family} saddr . th sport"


def _answers(owner: str, subjects: Sequence[Subject]) -> list[str]:
    """Return the rules that refuse answers of ``owner`` to other instances.

    The own questions come first, so that an old record of another owner does not count.
    """
    rules = []
    for number, family, _kind in _FAMILIES:
        key = _answer(family)
        own = f"@asked{number}-{owner}"
        rules += [
            f"tcp flags & (syn | ack) == (syn | ack) {key} {own} delete {own} {{ {key} }} accept",
            f"meta l4proto udp {key} {own} accept",
        ]
        if owner != _HOST:
            rules.append(f"{key} @asked{number}-{_HOST} accept")
        others = [subject.account for subject in subjects if subject.account != owner]
        rules += [f"{key} @asked{number}-{other} goto foreign-{other}" for other in others]
    return [*rules, "tcp flags & ack == ack accept"]


def _questions(owner: str, subjects: Sequence[Subject]) -> list[str]:
    """Return the rules that record a question of ``owner``.

    The kernel gives the same ends to one socket at a time, so no earlier record of them counts any more.
    """
    rules = []
    for number, family, _kind in _FAMILIES:
        key = _question(family)
        others = [*(subject.account for subject in subjects), _HOST]
        rules += [f"delete @asked{number}-{other} {{ {key} }}" for other in others if other != owner]
        own = f"update @asked{number}-{owner}"
        rules += [
            f"meta l4proto tcp {own} {{ {key} timeout {_TCP_SECONDS}s }} accept",
            f"meta l4proto udp {own} {{ {key} timeout {_UDP_SECONDS}s }} accept",
        ]
    return rules


def _chains(subject: Subject, subjects: Sequence[Subject], known: Known) -> list[str]:
    account = subject.account
    refuse = f"goto refuse-{account}"
    open_to_all = [*_resolvers(subject, known), "jump exceptions"]
    return [
        _chain(f"away-{account}", [*open_to_all, *_away(subject, known, refuse)]),
        _chain(
            f"loopback-{account}",
            [
                "meta l4proto { icmp, ipv6-icmp } accept",
                f"meta l4proto != {{ tcp, udp }} {refuse}",
                *_answers(account, subjects),
                *open_to_all,
                *(rule for reach in _mirrors(subject, known) for rule in _open(reach)),
                *([f"th dport < {known.first_port} {refuse}"] if known.first_port else []),
                f"meta l4proto . th dport @foreign-{account} {refuse}",
                *_questions(account, subjects),
                # Its set is full.
                refuse,
            ],
        ),
        # The next attempt is refused at once. TCP makes one after a second.
        _chain(f"foreign-{account}", [f"update @foreign-{account} {{ meta l4proto . th sport }}", refuse]),
        _chain(
            f"refuse-{account}",
            [
                f'limit rate 6/minute burst 10 packets log prefix "{LOG_PREFIX} {account}: " flags skuid',
                "counter",
                "meta l4proto tcp reject with tcp reset",
                "reject with icmpx admin-prohibited",
            ],
        ),
    ]


def _away(subject: Subject, known: Known, refuse: str) -> list[str]:
    if subject.policy == OPEN:
        return [*_to(REFUSED, "", refuse), "accept"]
    rules = []
    if subject.policy == GITHUB:
        rules += _to(known.github, f"tcp dport {_GITHUB_PORTS} ", "accept")
        rules += [rule for reach in known.mirrors for rule in _open(reach)]
    return [*rules, refuse]


def _mirrors(subject: Subject, known: Known) -> Sequence[Reach]:
    return () if subject.policy == NONE else known.mirrors


def _resolvers(subject: Subject, known: Known) -> list[str]:
    if subject.policy == NONE:
        return []
    return _to(known.resolvers, "meta l4proto { tcp, udp } th dport 53 ", "accept")


def _open(reach: Reach) -> list[str]:
    return _to(reach.networks, f"{reach.protocol} dport {reach.port} ", f'accept comment "{reach.name}"')


def _to(networks: Iterable[Network], condition: str, verdict: str) -> list[str]:
    """Return a rule for IPv4 and one for IPv6, each only if it has an address."""
    return [
        f"{family} daddr {{ {', '.join(addresses)} }} {condition}{verdict}"
        for (_number, family, _kind), addresses in zip(_FAMILIES, collapsed(networks))
        if addresses
    ]
