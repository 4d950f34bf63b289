"""The addresses behind names, and GitHub's own ranges.

The rules need addresses, and a boot without network has none. So what was learnt stays in ``known.json``, and
addresses of a name stay open for a day after they were last seen: a content delivery network changes its
answers every minute.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple, Optional

from ...errors import CiError
from ...github.client import Transport, UnreachableError
from ...github.scope import api_url_of
from ...host.directories import read_json
from ...host.durable import make_directory, replace_file
from ...runner.egress import Network, is_forbidden, network_of

_DAY_SECONDS = 86400.0
_MOST_BYTES = 2**24
# The services that jobs use (docs.github.com/rest/meta/meta). Not "actions", "actions_macos" and
# "codespaces": these are the addresses of hosted machines, which anyone can rent.
_SERVICES = ("web", "api", "git", "packages", "pages")

Resolve = Callable[[str], list[str]]


class GitHubAddresses(NamedTuple):
    """GitHub's networks, and the names of servers outside of them that runners need."""

    networks: list[Network]
    hosts: list[str]


def resolve(host: str) -> list[str]:
    """Return the addresses of ``host``.

    Raises OSError when there are none, or the resolver does not answer.
    """
    return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})


def meta_of(answer: Mapping[str, Any]) -> GitHubAddresses:
    """Return what GitHub's meta endpoint says; parts that it lacks are empty.

    A server of one's own (GitHub Enterprise Server) lists no ranges.
    """
    texts = [text for service in _SERVICES for text in answer.get(service) or ()]
    domains = answer.get("domains") or {}
    hosts = (domains.get("actions_inbound") or {}).get("full_domains") or ()
    return GitHubAddresses([network_of(str(text)) for text in texts], [str(host) for host in hosts])


class Addresses:
    """What is known on this host, in the file ``known.json`` of ``directory``.

    ``now`` is Unix time.
    """

    def __init__(self, directory: str, now: float) -> None:
        self._path = os.path.join(directory, "known.json")
        self._now = now
        self._known = read_json(self._path, _MOST_BYTES) or {}
        self._before = json.dumps(self._known)
        self._resolver_answers = True

    def save(self) -> None:
        """Write what is known now, if it is more than before."""
        if json.dumps(self._known) == self._before:
            return
        make_directory(os.path.dirname(self._path))
        replace_file(self._path, json.dumps(self._known, indent=1, sort_keys=True) + "\n")

    def github(self, url: str, transport: Transport) -> GitHubAddresses:
        """Return GitHub's addresses for the page ``url``, asking at most once a day.

        When GitHub does not answer, an earlier answer counts. Raises CiError if there is none; a server of
        one's own need not answer.
        """
        endpoint = f"{api_url_of(url)}/meta"
        kept: Mapping[str, Any] = self._known.get("github") or {}
        if kept.get("endpoint") != endpoint:
            kept = {}
        if not kept or abs(self._now - float(kept.get("at", 0))) > _DAY_SECONDS:
            kept = self._ask(endpoint, transport) or kept
        if not kept and endpoint.endswith("/api/v3/meta"):
            return GitHubAddresses([], [])
        if not kept:
            raise CiError(
                f"GitHub's addresses are unknown, because {endpoint} gave no usable answer, so the egress "
                "policy 'github' cannot be loaded; check the network and the proxy of this host, then run "
                "'runnerctl egress load'."
            )
        self._known["github"] = dict(kept)
        return meta_of(kept["meta"])

    def _ask(self, endpoint: str, transport: Transport) -> Optional[dict[str, Any]]:
        try:
            answer = transport("GET", endpoint, {"Accept": "application/vnd.github+json"}, None)
            meta = json.loads(answer.body) if answer.status == 200 else None
            if not isinstance(meta, dict):
                return None
            meta_of(meta)  # an address that is none raises ValueError
        except (UnreachableError, ValueError, TypeError, AttributeError):
            return None
        wanted = {key: meta[key] for key in (*_SERVICES, "domains") if key in meta}
        return {"endpoint": endpoint, "at": self._now, "meta": wanted}

    def of_host(self, host: str, resolve_name: Resolve) -> list[Network]:
        """Return the networks of ``host``.

        An address is its own network. A name has all that it resolved to in a day, but the owner of a name
        cannot open loopback, link-local addresses or metadata by it.
        """
        try:
            return [network_of(host)]
        except ValueError:
            pass
        names = self._known.setdefault("names", {})
        before: dict[str, float] = names.get(host) or {}
        fresh = self._fresh(host, resolve_name)
        if fresh is not None:
            recent = {a: at for a, at in before.items() if abs(self._now - at) <= _DAY_SECONDS}
            names[host] = before = {**recent, **dict.fromkeys(fresh, self._now)}
        networks = [network_of(address) for address in sorted(before)]
        return [network for network in networks if host == "localhost" or not is_forbidden(network)]

    def _fresh(self, host: str, resolve_name: Resolve) -> Optional[list[str]]:
        if not self._resolver_answers:
            return None
        try:
            return [address.split("%")[0] for address in resolve_name(host)]
        except socket.gaierror as error:
            # Without a resolver, every further name would wait as long.
            self._resolver_answers = error.errno != socket.EAI_AGAIN
            return None
        except OSError:
            return None

    def forget_names_but(self, hosts: Iterable[str]) -> None:
        """Forget the names that no setting uses any more."""
        kept = set(hosts)
        names = self._known.get("names") or {}
        self._known["names"] = {host: seen for host, seen in names.items() if host in kept}
