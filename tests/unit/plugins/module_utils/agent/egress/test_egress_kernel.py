"""The egress rules in the kernel: what each policy lets through."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.runner.egress_rules import (
    Known,
    Reach,
    Subject,
    ruleset,
)

from tests._support.bound_host import DATAGRAM, STREAM, Answer, BoundHost, Target, bound_host, require_nft

OPEN, GITHUB, NONE = 60001, 60002, 60003
#: A user id that the account of the open instance may take in a container.
CONTAINER = 700005
PERSON = 60009
SUBJECTS = [
    Subject("open", "open", [(OPEN, OPEN), (700000, 765535)]),
    Subject("github", "github", [(GITHUB, GITHUB)]),
    Subject("none", "none", [(NONE, NONE)]),
]
KNOWN = Known(
    resolvers=[ip_network("127.0.0.53"), ip_network("203.0.113.1")],
    github=[ip_network("140.82.112.0/20")],
    exceptions=[Reach("database", [ip_network("203.0.113.1"), ip_network("127.0.0.1")], 5432, "tcp")],
    mirrors=[Reach("mirror", [ip_network("203.0.113.1")], 8081, "tcp")],
)
LOOPBACK = ("127.0.0.1", "::1")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoundHost]:
    require_nft()
    with bound_host() as made:
        rules = tmp_path_factory.mktemp("egress") / "rules.nft"
        rules.write_text(ruleset(SUBJECTS, KNOWN))
        # Twice: the second time, there is a table to replace.
        for _ in range(2):
            done = made.run(["nft", "-f", str(rules)])
            assert done.returncode == 0, done.stderr
        for port in (22, 5432, 8081, 4444):
            made.serve(0, "203.0.113.1", port, outside=True)
        for address in ("140.82.112.5", "169.254.169.254", "fd00:ec2::254", "2001:db8::1"):
            made.serve(0, address, 443, outside=True)
        made.serve(0, "140.82.112.5", 4444, outside=True)
        made.serve(0, "203.0.113.1", 53, DATAGRAM, outside=True)
        for address in LOOPBACK:
            for kind in (STREAM, DATAGRAM):
                made.serve(0, address, 22, kind)
                made.serve(0, address, 7000, kind)
                made.serve(OPEN, address, 7001, kind)
                made.serve(GITHUB, address, 7002, kind)
        made.serve(0, "127.0.0.53", 53, DATAGRAM)
        made.serve(0, "127.0.0.1", 5432)
        made.serve(0, "203.0.113.2", 22)
        made.serve(OPEN, "203.0.113.2", 7003)
        made.serve(NONE, "203.0.113.2", 7004)
        yield made


AWAY = {
    ("203.0.113.1", 4444): {OPEN},
    ("203.0.113.1", 22): {OPEN},
    ("203.0.113.1", 8081): {OPEN, GITHUB},
    ("203.0.113.1", 5432): {OPEN, GITHUB, NONE},
    ("140.82.112.5", 443): {OPEN, GITHUB},
    ("140.82.112.5", 4444): {OPEN},
    ("169.254.169.254", 443): set(),
    ("fd00:ec2::254", 443): set(),
    # Neighbour discovery works although link-local addresses are refused.
    ("2001:db8::1", 443): {OPEN},
}


USERS = [OPEN, CONTAINER, GITHUB, NONE, PERSON, 0]


@pytest.mark.parametrize("user", USERS)
def test_policy_decides_what_an_instance_reaches_away(host: BoundHost, user: int) -> None:
    account = OPEN if user == CONTAINER else user
    targets = {
        Target(*place): account in (PERSON, 0) or account in allowed for place, allowed in AWAY.items()
    }
    for target, answer in host.ask(user, *targets).items():
        assert answer.text == ("yes" if targets[target] else "ECONNREFUSED"), target
        assert answer.seconds < 2


@pytest.mark.parametrize("user", [OPEN, GITHUB, NONE, PERSON])
def test_resolver_answers_all_but_none(host: BoundHost, user: int) -> None:
    resolvers = [Target(address, 53, DATAGRAM) for address in ("203.0.113.1", "127.0.0.53")]
    answers = {answer.text for answer in host.ask(user, *resolvers).values()}
    assert answers == ({"EPERM"} if user == NONE else {"yes"})


# The port of each server on loopback, and its account.
SERVERS = {22: 0, 7000: 0, 7001: OPEN, 7002: GITHUB}
ON_LOOPBACK = [
    Target(address, port, kind) for address in LOOPBACK for port in SERVERS for kind in (STREAM, DATAGRAM)
]


@pytest.mark.parametrize("user", [OPEN, CONTAINER, GITHUB, NONE])
def test_instance_reaches_its_own_servers_and_no_other(host: BoundHost, user: int) -> None:
    account = OPEN if user == CONTAINER else user
    for target, answer in host.ask(user, *ON_LOOPBACK).items():
        assert (answer.text == "yes") == (SERVERS[target.port] == account), (target, answer)
        if target.kind == STREAM:
            assert answer.text in ("yes", "ECONNREFUSED")
            assert answer.seconds < 3


@pytest.mark.parametrize("user", [0, PERSON])
def test_people_reach_every_server_on_loopback(host: BoundHost, user: int) -> None:
    # Twice: what an instance sent to a person's question is no question of its own.
    targets = [target._replace(times=2) for target in ON_LOOPBACK]
    assert {answer.text for answer in host.ask(user, *targets).values()} == {"yes"}


def test_own_address_is_no_way_around_loopback(host: BoundHost) -> None:
    ssh, own = Target("203.0.113.2", 22), Target("203.0.113.2", 7003)
    assert {t: a.text for t, a in host.ask(OPEN, ssh, own).items()} == {ssh: "ECONNREFUSED", own: "yes"}
    others = [own, Target("0.0.0.0", 22), Target("127.0.0.1", 7001, source="127.9.9.9")]
    assert {answer.text for answer in host.ask(GITHUB, *others).values()} == {"ECONNREFUSED"}


@pytest.mark.parametrize("user", [OPEN, GITHUB, NONE])
def test_exception_opens_loopback_too(host: BoundHost, user: int) -> None:
    assert answer_of(host, user, "127.0.0.1", 5432).text == "yes"


def test_outside_reaches_the_host_and_open_instances(host: BoundHost) -> None:
    assert answer_of(host, 0, "203.0.113.2", 22, outside=True).text == "yes"
    assert answer_of(host, 0, "203.0.113.2", 7003, outside=True).text == "yes"
    # The answer of a bound instance is egress.
    assert answer_of(host, 0, "203.0.113.2", 7004, outside=True).text != "yes"


def test_closed_port_is_refused_at_once(host: BoundHost) -> None:
    answer = answer_of(host, OPEN, "127.0.0.1", 7999)
    assert answer.text == "ECONNREFUSED"
    assert answer.seconds < 1


def test_flood_opens_no_server_and_closes_none(host: BoundHost) -> None:
    # With a full queue the kernel answers with cookies, which belong to no socket.
    host.serve(OPEN, "127.0.0.1", 7005, backlog=1)
    flood = Target("127.0.0.1", 7005, times=300)
    assert host.ask(GITHUB, flood)[flood].text == "ECONNREFUSED"
    assert answer_of(host, OPEN, "127.0.0.1", 7005).text == "yes"


def test_refused_packets_are_counted_and_logged_within_a_rate(host: BoundHost) -> None:
    answer_of(host, NONE, "203.0.113.1", 4444)
    listed = host.run(["nft", "list", "chain", "inet", "coldvox_ci", "refuse-ci-none"]).stdout
    assert "counter packets 0 " not in listed
    assert "limit rate 6/minute" in listed


def answer_of(host: BoundHost, user: int, address: str, port: int, outside: bool = False) -> Answer:
    target = Target(address, port)
    return host.ask(user, target, outside=outside)[target]
