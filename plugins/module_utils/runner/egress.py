"""What jobs may reach in the network: the settings, checked. Pure.

The filter ``egress_policy`` checks the role's inputs on the controller. ``runnerctl egress load`` reads the
result on the host and makes the rules (egress_rules.py).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Union
from urllib.parse import urlsplit

from ..errors import CiError

OPEN, GITHUB, NONE, OFF = "open", "github", "none", "off"
POLICIES = (OPEN, GITHUB, NONE, OFF)
PROTOCOLS = ("tcp", "udp")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# The name becomes a comment in the rules, so it has no quotes.
_EXCEPTION_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")
# RFC 1123: letters, digits and hyphens, and a letter in the last label.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z][a-z0-9-]*", re.IGNORECASE)

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# What no job needs and what gives credentials away: link-local addresses, and the metadata services of clouds
# outside of them.
REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # RFC 3927; 169.254.169.254 is the metadata service of most clouds
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's host agent
        "192.0.0.192",  # Oracle Cloud, first generation
        "fe80::/10",  # RFC 4291
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
        "fd00:c1::a9fe:a9fe",  # Oracle Cloud
        "fd00:42::42",  # Scaleway
        "64:ff9b::a9fe:0/112",  # 169.254.0.0/16 behind NAT64 (RFC 6052)
    )
)


class Opening(NamedTuple):
    """A destination: ``host`` is an address, a network or a name."""

    name: str
    host: str
    port: int
    protocol: str = "tcp"


class Settings(NamedTuple):
    """The policies by instance, and what they open.

    ``exceptions`` are open to all instances, ``mirrors`` to those with the policy ``github``.
    """

    policy: str
    instances: Mapping[str, str]
    exceptions: Sequence[Opening]
    mirrors: Sequence[Opening]
    github_url: str

    def policy_of(self, instance: str) -> str:
        """Return the policy of ``instance``."""
        return self.instances.get(instance, self.policy)


def network_of(text: str) -> Network:
    """Return the network or address ``text``; raises ValueError for anything else."""
    return ipaddress.ip_network(text, strict=False)


def is_forbidden(network: Network) -> bool:
    """Return whether only the inventory may open ``network``, by its address."""
    return network.is_loopback or any(
        network.version == other.version and network.overlaps(other) for other in REFUSED
    )


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the settings in ``given``; raises CiError for one that cannot be used.

    ``urls`` are the addresses of the mirrors in use. ``known`` are the names of the host's instances; an
    override for another name is an error, because the instance that was meant would keep the default.
    """
    overrides = {str(name): _policy(policy) for name, policy in dict(given.get("instances") or {}).items()}
    known = [str(name) for name in given.get("known") or ()]
    strange = sorted(set(overrides) - set(known)) if known else []
    if strange:
        raise CiError(
            f"The egress policy names the instance '{strange[0]}', which this host does not have; use one "
            f"of: {', '.join(sorted(known))}."
        )
    urls = [str(url) for url in given.get("urls") or ()]
    mirrors = [_mirror(url) for url in urls if url]
    mirrors += [opening_of(item) for item in given.get("mirrors") or ()]
    return Settings(
        _policy(given.get("policy", OPEN)),
        overrides,
        [opening_of(item) for item in given.get("exceptions") or ()],
        list(dict.fromkeys(mirrors)),
        str(given.get("github_url") or ""),
    )


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Return ``settings`` as plain data that ``settings_of`` reads."""
    data = settings._asdict()
    for key in ("exceptions", "mirrors"):
        data[key] = [opening._asdict() for opening in data[key]]
    return data


def opening_of(given: Mapping[str, Any]) -> Opening:
    """Return the opening that the inventory describes; raises CiError if it is wrong."""
    name, host = str(given.get("name") or ""), str(given.get("host") or "")
    if not _EXCEPTION_NAME.fullmatch(name):
        raise CiError(
            f"The egress exception '{name}' needs a name of 1 to 64 letters, digits, spaces and . _ -; "
            "correct it."
        )
    try:
        network_of(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise CiError(
                f"The egress exception '{name}' has the host '{host}'; give an address, a network such as "
                "192.0.2.0/24, or the name of a host."
            ) from None
    port, protocol = given.get("port"), str(given.get("protocol") or "tcp")
    if isinstance(port, bool) or not str(port).isdecimal() or not 1 <= int(str(port)) <= 65535:
        raise CiError(f"The egress exception '{name}' has the port '{port}'; give a number from 1 to 65535.")
    if protocol not in PROTOCOLS:
        raise CiError(
            f"The egress exception '{name}' has the protocol '{protocol}'; use one of: "
            f"{', '.join(PROTOCOLS)}."
        )
    return Opening(name, host, int(str(port)), protocol)


def collapsed(networks: Iterable[Network]) -> tuple[list[str], list[str]]:
    """Return ``networks`` without overlaps, IPv4 and IPv6 apart."""
    every = list(networks)
    four = [network for network in every if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in every if isinstance(network, ipaddress.IPv6Network)]
    return (
        [str(network) for network in ipaddress.collapse_addresses(four)],
        [str(network) for network in ipaddress.collapse_addresses(six)],
    )


def _policy(given: Any) -> str:
    # YAML reads a bare off as false.
    policy = OFF if given is False else str(given)
    if policy not in POLICIES:
        raise CiError(f"The egress policy '{policy}' is unknown; use one of: {', '.join(POLICIES)}.")
    return policy


def _mirror(url: str) -> Opening:
    """Return where ``url`` leads to; a registry's url may start with ``sparse+``."""
    parts = urlsplit(url[len("sparse+") :] if url.startswith("sparse+") else url)
    try:
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
    except (KeyError, ValueError):
        shown = re.sub("//[^/@]*@", "//", url)  # a login may be a password
        raise CiError(
            f"The address '{shown}' of a mirror names no http or https server, so the egress policy cannot "
            "open it; correct the address."
        ) from None
    host = parts.hostname or ""
    return opening_of({"name": f"mirror {host}".replace(":", "-")[:64], "host": host, "port": port})
