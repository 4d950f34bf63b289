"""Loading the rules, with the real nft and kernel, and without."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.egress import load as egress
from ansible_collections.coldvox.ci.plugins.module_utils.agent.egress.addresses import Addresses
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.github.client import Answer, UnreachableError
from ansible_collections.coldvox.ci.plugins.module_utils.github.transport import stdlib_transport
from ansible_collections.coldvox.ci.plugins.module_utils.host.paths import Paths
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result, run
from ansible_collections.coldvox.ci.plugins.module_utils.runner.account import Account
from ansible_collections.coldvox.ci.plugins.module_utils.runner.egress_rules import ruleset

from testbed.github.server import emulator
from tests._support.bound_host import BoundHost, Target, bound_host, require_nft

BUILD, LINT = 60001, 60002
ACCOUNTS = {"ci-build": BUILD, "ci-lint": LINT}
META = {
    "web": ["140.82.112.0/20", "2606:50c0::/32"],
    "actions": ["4.148.0.0/16"],
    "domains": {
        "actions_inbound": {"full_domains": ["results.example.com"], "wildcard_domains": ["*.x.com"]}
    },
}
SSH, ELSEWHERE, WEB = Target("203.0.113.2", 22), Target("203.0.113.1", 4444), Target("140.82.112.5", 443)


class Site:
    """The files of a host in a directory, and its functions."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = Paths(*(str(root / place) for place in Paths._fields))
        for name in ("build", "lint", "left-over"):
            (root / "runners" / name).mkdir(parents=True)
        (root / "config").mkdir()
        (root / "resolv.conf").write_text("search x\nnameserver 203.0.113.1\nnameserver fe80::1%eth0\n")
        (root / "subuid").write_text("someone:1:5\nci-build:700000:65536\n")
        self.root = root
        self.now = 1_000_000.0
        self.names: Optional[dict[str, list[str]]] = {"results.example.com": ["192.0.2.9"]}
        self.meta: Optional[Mapping[str, Any]] = META
        self.network: Optional[BoundHost] = None
        monkeypatch.setattr(egress, "has_account", ACCOUNTS.__contains__)
        monkeypatch.setattr(egress, "account_of", lambda name: Account(name, ACCOUNTS[name], ACCOUNTS[name]))

    def settings(self, policy: str, **more: Any) -> None:
        (self.root / "config" / "egress.json").write_text(json.dumps({"policy": policy, **more}))

    def load(self) -> egress.Loaded:
        return egress.load(self.paths, self.machine())

    def machine(self) -> egress.Machine:
        files = (str(self.root / "resolv.conf"), str(self.root / "subuid"), "/nowhere")
        return egress.Machine(self._run, lambda: self.now, self._resolve, self._transport, *files)

    def _run(self, argv: Sequence[str], **options: Any) -> Result:
        if self.network is None:
            return Result(0, "", "")
        del options["environment"]
        return run(["nsenter", f"--net=/proc/{self.network.inside}/ns/net", *argv], **options)

    def _resolve(self, host: str) -> list[str]:
        if self.names is None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self.names[host]

    def _transport(self, method: str, url: str, headers: Mapping[str, str], body: Optional[bytes]) -> Answer:
        assert (method, body, "Authorization" in headers) == ("GET", None, False)
        assert url.endswith("/meta")
        if self.meta is None:
            raise UnreachableError("no route to host")
        return Answer(200, {}, json.dumps(self.meta).encode())

    def rules(self) -> str:
        return Path(self.paths.run, "egress", "rules.nft").read_text()

    def ready(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in Path(self.paths.run, "egress", "ready").iterdir()}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


@pytest.fixture
def bound(site: Site) -> Iterator[BoundHost]:
    require_nft()
    with bound_host() as network:
        network.serve(0, SSH.address, SSH.port)
        for target in (ELSEWHERE, WEB):
            network.serve(0, target.address, target.port, outside=True)
        site.network = network
        yield network


def reached(network: BoundHost, user: int) -> set[Target]:
    return {target for target, answer in network.ask(user, ELSEWHERE, WEB).items() if answer.text == "yes"}


def test_load_binds_each_instance_to_its_policy(site: Site, bound: BoundHost) -> None:
    site.settings("open", instances={"lint": "github"})
    assert site.load() == egress.Loaded(True, {"build": "open", "lint": "github"}, [])
    assert reached(bound, BUILD) == {ELSEWHERE, WEB}
    assert reached(bound, LINT) == {WEB}
    assert site.ready() == {"build": f"{BUILD}\n", "lint": f"{LINT}\n"}
    assert not site.load().changed
    # Another program flushed all rules.
    bound.run(["nft", "flush", "ruleset"])
    assert reached(bound, LINT) == {ELSEWHERE, WEB}
    assert site.load().changed
    assert reached(bound, LINT) == {WEB}


def test_faulty_rules_leave_the_old_ones_and_ssh(
    site: Site, bound: BoundHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.settings("none")
    site.load()
    site.settings("open")
    faults = {
        "a syntax error": lambda text: text + "table inet coldvox_ci {",
        "what only the kernel sees": lambda text: text + "delete table inet another\n",
    }
    for fault, spoil in faults.items():
        monkeypatch.setattr(egress, "ruleset", lambda *given, spoil=spoil: spoil(ruleset(*given)))
        with pytest.raises(CiError, match="the earlier ones stay, because nft refuses them"):
            site.load()
        assert reached(bound, BUILD) == set(), fault
        assert bound.ask(0, SSH, outside=True)[SSH].text == "yes", fault
    monkeypatch.setattr(egress, "ruleset", ruleset)
    assert site.load().changed
    assert reached(bound, BUILD) == {ELSEWHERE, WEB}


def test_off_removes_the_table(site: Site, bound: BoundHost) -> None:
    site.settings("none")
    site.load()
    site.settings("off")
    assert site.load().policies == {"build": "off", "lint": "off"}
    assert reached(bound, BUILD) == {ELSEWHERE, WEB}
    assert set(site.ready()) == {"build", "lint"}


def test_missing_nft_is_one_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "_run", lambda *_, **__: Result(127, "", "nft: not found"))
    site.settings("open")
    with pytest.raises(CiError, match=r"lacks the program nft; install the package nftables, or .*'off'"):
        site.load()
    assert not Path(site.paths.run, "egress", "ready").exists()
    site.settings("off")
    assert site.load().policies == {"build": "off", "lint": "off"}


def test_account_with_the_id_of_root_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACCOUNTS, "ci-build", 0)
    site.settings("none")
    with pytest.raises(CiError, match="would cut off the host"):
        site.load()


def test_ids_of_containers_belong_to_the_instance(site: Site) -> None:
    site.settings("open")
    site.load()
    assert f"{BUILD} : goto away-ci-build, 700000-765535 : goto away-ci-build" in site.rules()


def test_resolvers_of_the_host_are_open(site: Site) -> None:
    site.settings("github")
    site.load()
    assert "ip daddr { 203.0.113.1/32 } meta l4proto { tcp, udp } th dport 53 accept" in site.rules()
    assert "ip6 daddr { fe80::1/128 } meta l4proto { tcp, udp } th dport 53 accept" in site.rules()


def test_hosted_machines_are_not_github(site: Site) -> None:
    site.settings("github")
    site.load()
    assert "140.82.112.0/20" in site.rules()
    assert "192.0.2.9/32 } tcp dport 443" in site.rules()
    assert "4.148" not in site.rules()


def test_earlier_answers_serve_a_boot_without_network(site: Site) -> None:
    site.settings("github")
    site.load()
    before = site.rules()
    site.meta, site.names = None, None
    site.now += 30 * 86400
    assert not site.load().changed
    assert site.rules() == before


def test_unknown_addresses_of_github_are_an_error(site: Site) -> None:
    site.settings("github")
    site.meta = None
    with pytest.raises(CiError, match=r"because https://api.github.com/meta gave no usable answer"):
        site.load()
    # A server of one's own is reached by its name.
    site.settings("github", github_url="https://git.example.com/org", urls=["https://192.0.2.3/"])
    site.load()
    assert "ip daddr { 192.0.2.3/32 } tcp dport 443 accept" in site.rules()


def test_addresses_of_a_name_stay_open_for_a_day(tmp_path: Path) -> None:
    answers = iter([["192.0.2.1"], ["192.0.2.2"], ["192.0.2.3"]])
    seen = []
    for hours in (0, 20, 40):
        known = Addresses(str(tmp_path), hours * 3600.0)
        seen.append(
            [str(network[0]) for network in known.of_host("cdn.example.com", lambda _: next(answers))]
        )
        known.save()
    assert seen == [["192.0.2.1"], ["192.0.2.1", "192.0.2.2"], ["192.0.2.2", "192.0.2.3"]]


def test_meta_endpoint_is_the_one_that_github_describes(description: Path, tmp_path: Path) -> None:
    with emulator(description) as running:
        known = Addresses(str(tmp_path), 0.0)
        found = known.github(f"{running.url}/Coldaine/ColdVox", stdlib_transport(5))
    # The addresses and no others of GitHub's own example.
    assert {str(network) for network in found.networks} == {"192.0.2.1/32"}


def test_name_opens_neither_loopback_nor_metadata(tmp_path: Path) -> None:
    known = Addresses(str(tmp_path), 0.0)
    answers = ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "fd00:ec2::254", "192.0.2.7"]
    found = known.of_host("rebind.example.com", lambda _: answers)
    assert [str(network) for network in found] == ["192.0.2.7/32"]
    assert [str(network) for network in known.of_host("127.0.0.1", lambda _: [])] == ["127.0.0.1/32"]


def test_name_without_address_is_reported(site: Site) -> None:
    site.names = None
    exception = {"name": "printer", "host": "printer.lan", "port": 9100}
    site.settings("open", exceptions=[exception])
    assert site.load().unresolved == ["printer"]


def test_settings_that_cannot_be_read_are_an_error(site: Site) -> None:
    with pytest.raises(CiError, match="converge the host with the role agent"):
        site.load()
