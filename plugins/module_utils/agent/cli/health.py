"""``runnerctl health``: how fit this host is, and why."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ...host.paths import Paths, paths_of
from .output import ATTENTION, CRITICAL, OK, put, put_json


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Exit codes: with --check 0 EXCELLENT, 1 CONCERNING, 2 CRITICAL; else by the verdict, 0 for the "
        "best, 2 for the worst and 1 between them; 3 when the host cannot be judged."
    )
    kind = group.add_mutually_exclusive_group()
    kind.add_argument("--check", action="store_true", help="the check for people: level and findings")
    kind.add_argument("--score", action="store_true", help="the score alone, as of this moment")
    kind.add_argument("--publish", action="store_true", help="write health.json (its timer calls this)")
    group.add_argument("--json", action="store_true", help="print JSON")
    group.set_defaults(perform=health, paths=paths_of(defaults))


def health(options: argparse.Namespace) -> int:
    """Judge the host and say how it is."""
    from ...health.policy import explanation
    from ...host.config import read_config
    from ..assess import assess, publish

    paths: Paths = options.paths
    config = read_config(paths.config)
    found = assess(paths, config)
    if options.publish:
        done = publish(paths, config, found)
        if options.json:
            put_json(done.document)
        elif done.document["verdict"] != done.before:
            reasons = ", ".join(map(explanation, found.score["penalties"])) or "nothing is wrong"
            put(f"{done.document['verdict']} (was {done.before or 'not known'}): {reasons}")
        return OK
    if options.check:
        return _told_check(found.check, options.json)
    return _told_score(found.score, options, config.policy)


def _told_check(check: Mapping[str, Any], as_json: bool) -> int:
    from ...health.policy import explanation

    if as_json:
        put_json(check)
    else:
        put(check["level"])
        for one in check["findings"]:
            put(f"  {one['severity']}: {explanation(one)}")
        _told_unknown(check["unknown"])
    return int(check["exit_code"])


def _told_score(score: Mapping[str, Any], options: argparse.Namespace, policy: Mapping[str, Any]) -> int:
    from ...health.policy import explanation, merged_policy

    if options.json:
        put_json(score)
    elif options.score:
        put(str(score["score"]))
    else:
        put(f"{score['score']} of 100: {score['verdict']}, {score['recommendation']}")
        for one in score["penalties"]:
            put(f"  -{one['points']}: {explanation(one)}")
        _told_unknown(score["unknown"])
    verdicts = [one["verdict"] for one in merged_policy(policy)["verdicts"]]
    if score["verdict"] == verdicts[0]:
        return OK
    return CRITICAL if score["verdict"] == verdicts[-1] else ATTENTION


def _told_unknown(names: list[str]) -> None:
    if names:
        put(f"  not known: {', '.join(names)}")
