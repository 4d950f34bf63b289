"""One health check of this host: look, judge, and publish what several checks agree on."""

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

# The sampler writes every few seconds; what is older than some of its rounds is taken anew.
_ROUNDS = 4


class Assessment(NamedTuple):
    """What one check found: the metrics with all signals that the policy judges, and both judgements."""

    metrics: Sample
    score: dict[str, Any]
    check: dict[str, Any]
    memory: dict[str, Any]


def assess(paths: Paths, config: Config) -> Assessment:
    """Look at the host and judge it; publishes nothing. Raises CiError for a policy that makes no sense."""
    policy = merged_policy(config.policy)
    url = probe_url(policy, config.github_url)
    timeout = float(policy["probe"]["timeout_seconds"])
    sources = machine(_run)
    wanted = {signal for table in ("penalties", "check") for signal in policy[table]}
    sample = _sample(paths, config, sources, wanted)
    sample["network_reachable"] = _tried(url, timeout)
    found, memory = signals.read_signals(
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
    metrics = {**sample, **found}
    score = health_score(metrics, config.policy)
    return Assessment(metrics, score, health_check(metrics, config.policy), memory)


def _run(*arguments: Any, **options: Any) -> Any:
    """Run a program as ``process.run`` does, which is only imported where one is needed."""
    from ..host.process import run

    return run(*arguments, **options)


def _sample(paths: Paths, config: Config, sources: Sources, wanted: set[str]) -> Sample:
    """Return the sampler's latest sample; without a sampler one of this moment, without the slow parts."""
    known = fresh_sample(paths, _ROUNDS * config.interval_seconds, time.time())
    if known is not None:
        return known

    def not_needed(_roots: Any) -> int:
        raise LookupError("no judgement needs the size of the Rust caches")

    sources = sources._replace(tree_bytes=not_needed, reachable=lambda _url: False)
    series = Series(target_of(paths, config), sources)
    if "cpu_percent" in wanted:
        sources.sleep(FIRST_WINDOW_SECONDS)
    return series.take()


def _tried(url: str, timeout_seconds: float) -> Any:
    try:
        return reachable(url, timeout_seconds)
    except ValueError:
        return None


def _units(sources: Sources, sample: Sample) -> Mapping[str, Any]:
    return sources.units([one["name"] for one in sample.get("instances") or ()])


def _before(paths: Paths) -> dict[str, Any]:
    """Return what the last check of this boot left."""
    found = read_json(paths.health_state) or {}
    if found.get("boot_id") != boot_id():
        found = {}
    memory = found.get("memory")
    return {"state": found.get("state"), "memory": memory if isinstance(memory, dict) else {}}


class Published(NamedTuple):
    """What ``health.json`` says now, and the verdict that it had before, empty for none."""

    document: dict[str, Any]
    before: str


def publish(paths: Paths, config: Config, found: Assessment) -> Published:
    """Take ``found`` as the next check in the row, write ``health.json`` and return what it says.

    Raises CiError when it cannot be written; what was published then expires by itself.
    """
    policy = merged_policy(config.policy)
    before = decode(_before(paths)["state"])
    state = step(before, found.score["verdict"], policy, boottime())
    said = health_document(
        state,
        found.score["score"],
        policy,
        time.time(),
        config.host or socket.gethostname(),
        config.runs_on,
        config.fallback_runs_on,
    )
    kept = {
        "boot_id": boot_id(),
        "state": encode(state),
        "memory": found.memory,
        "network_reachable": found.metrics["network_reachable"],
        "probed_at": boottime(),
    }
    try:
        replace_file(paths.health_state, json.dumps(kept) + "\n", durable=False)
        replace_file(paths.health, json.dumps(said, indent=2) + "\n", durable=False)
    except OSError as error:
        raise storage_error("publishing the health of this host", error) from error
    return Published(said, before.verdict)


def last_probe(paths: Paths, valid_seconds: float, _url: str) -> bool:
    """Return what the last check found of the network; raises LookupError when it is too long ago."""
    found = read_json(paths.health_state) or {}
    try:
        age = boottime() - float(found["probed_at"])
    except (KeyError, TypeError, ValueError) as error:
        raise LookupError("no check yet") from error
    reached = found.get("network_reachable")
    if not 0 <= age <= valid_seconds or not isinstance(reached, bool):
        raise LookupError("no check lately")
    return reached
