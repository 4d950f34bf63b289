"""One health check of this host.

Read, judge, and publish the state on which several checks agree.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from ..health.policy import merged_policy, probe_url
from ..health.score import health_check, health_score
from ..health.state import decode, encode, health_document, step
from ..host.clock import boot_id, boottime
from ..host.config import Config
from ..host.directories import read_json
from ..host.durable import replace_file, storage_error
from ..host.paths import Paths
from ..metrics import signals
from ..metrics.probe import reachable, server_clock
from ..metrics.sample import FIRST_WINDOW_SECONDS, Sample, Series, target_of
from ..metrics.sources import Sources, machine
from .sampler import fresh_sample

# A sample of the sampler that is older than this many of its intervals is not used.
_ROUNDS = 4


class Assessment(NamedTuple):
    """One check: metrics with the signals that the policy judges, and both results."""

    metrics: Sample
    score: dict[str, Any]
    check: dict[str, Any]
    memory: dict[str, Any]


def assess(paths: Paths, config: Config) -> Assessment:
    """Read the host and judge it, without publishing.

    Raises CiError for an invalid policy.
    """
    policy = merged_policy(config.policy)
    url = probe_url(policy, config.github_url)
    timeout = float(policy["probe"]["timeout_seconds"])
    sources = machine(_run)
    wanted = {signal for table in ("penalties", "check") for signal in policy[table]}
    sample = _sample(paths, config, sources, wanted)
    sample["network_reachable"] = _reachable(url, timeout)
    values, memory = signals.read_signals(
        sorted(wanted),
        signals.Observation(
            text=sources.text,
            names=sources.names,
            sample=sample,
            units=_units(sources, sample) if "listeners_deaf" in wanted else {},
            store_dir=paths.store,
            now=time.time(),
            boottime=boottime(),
            server_clock=partial(server_clock, url, timeout),
            before=_before(paths)["memory"],
        ),
    )
    metrics = {**sample, **values}
    score = health_score(metrics, config.policy)
    return Assessment(metrics, score, health_check(metrics, config.policy), memory)


def _run(*arguments: Any, **options: Any) -> Any:
    """Run a program by ``process.run``, which is imported only when it is needed."""
    from ..host.process import run

    return run(*arguments, **options)


def _sample(paths: Paths, config: Config, sources: Sources, wanted: set[str]) -> Sample:
    """Return the sampler's latest sample, or a new one without its slow parts."""
    known = fresh_sample(paths, _ROUNDS * config.interval_seconds, time.time())
    if known is not None:
        return known

    def not_needed(_roots: Any) -> int:
        raise LookupError("no policy judges the size of the Rust caches")

    sources = sources._replace(tree_bytes=not_needed, reachable=lambda _url: False)
    series = Series(target_of(paths, config), sources)
    if "cpu_percent" in wanted:
        sources.sleep(FIRST_WINDOW_SECONDS)
    return series.take()


def _reachable(url: str, timeout_seconds: float) -> Any:
    try:
        return reachable(url, timeout_seconds)
    except ValueError:
        return None


def _units(sources: Sources, sample: Sample) -> Mapping[str, Any]:
    return sources.units([instance["name"] for instance in sample.get("instances") or ()])


def _before(paths: Paths) -> dict[str, Any]:
    """Return the state and the memory of this boot's last check."""
    kept = read_json(paths.health_state) or {}
    if kept.get("boot_id") != boot_id():
        kept = {}
    memory = kept.get("memory")
    return {"state": kept.get("state"), "memory": memory if isinstance(memory, dict) else {}}


class Published(NamedTuple):
    """The content of ``health.json``, and its verdict before, empty for none."""

    document: dict[str, Any]
    before: str


def publish(paths: Paths, config: Config, assessment: Assessment) -> Published:
    """Add ``assessment`` to the checks in a row and write ``health.json``.

    Returns the new content of the file. Raises CiError when it cannot be written; the document that was
    published before then expires by itself.
    """
    policy = merged_policy(config.policy)
    before = decode(_before(paths)["state"])
    state = step(before, assessment.score["verdict"], policy, boottime())
    document = health_document(
        state,
        assessment.score["score"],
        policy,
        time.time(),
        config.host or socket.gethostname(),
        config.runs_on,
        config.fallback_runs_on,
    )
    # The reasons of this score; the next sample may have others.
    document["penalties"] = assessment.score["penalties"]
    kept = {
        "boot_id": boot_id(),
        "state": encode(state),
        "memory": assessment.memory,
        "network_reachable": assessment.metrics["network_reachable"],
        "probed_at": boottime(),
    }
    try:
        replace_file(paths.health_state, json.dumps(kept) + "\n", durable=False)
        replace_file(paths.health, json.dumps(document, indent=2) + "\n", durable=False)
    except OSError as error:
        raise storage_error("publishing the health of this host", error) from error
    return Published(document, before.verdict)


def last_probe(paths: Paths, valid_seconds: float, _url: str) -> bool:
    """Return whether the last check reached the network.

    Raises LookupError when it is too long ago.
    """
    kept = read_json(paths.health_state) or {}
    try:
        age = boottime() - float(kept["probed_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise LookupError("no check yet") from error
    reached = kept.get("network_reachable")
    if not 0 <= age <= valid_seconds or not isinstance(reached, bool):
        raise LookupError("no check lately")
    return reached
