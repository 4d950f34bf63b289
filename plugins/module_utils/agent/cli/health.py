"""``runnerctl health``: rate this host, with reasons."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ...host.paths import Paths, paths_of
from .output import ATTENTION, CRITICAL, OK, print_json, print_line


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    group.description = (
        "Exit codes: with --check 0 EXCELLENT, 1 CONCERNING, 2 CRITICAL; else by the verdict, 0 for the "
        "best, 2 for the worst and 1 between them; 3 when the host cannot be rated."
    )
    kind = group.add_mutually_exclusive_group()
    kind.add_argument("--check", action="store_true", help="print level and findings for a person")
    kind.add_argument("--score", action="store_true", help="print only the score of this moment")
    kind.add_argument("--publish", action="store_true", help="write health.json (its timer calls this)")
    group.add_argument("--json", action="store_true", help="print JSON")
    group.set_defaults(perform=health, paths=paths_of(defaults))


def health(options: argparse.Namespace) -> int:
    """Rate the host, and print or publish the result."""
    from ...health.policy import explanation
    from ...host.config import read_config
    from ..assess import assess, publish

    paths: Paths = options.paths
    config = read_config(paths.config)
    assessment = assess(paths, config)
    if options.publish:
        done = publish(paths, config, assessment)
        if options.json:
            print_json(done.document)
        elif done.document["verdict"] != done.before:
            reasons = ", ".join(map(explanation, assessment.score["penalties"])) or "nothing is wrong"
            print_line(f"{done.document['verdict']} (was {done.before or 'not known'}): {reasons}")
        return OK
    if options.check:
        return _print_check(assessment.check, options.json)
    return _print_score(assessment.score, options, config.policy)


def _print_check(check: Mapping[str, Any], as_json: bool) -> int:
    from ...health.policy import explanation

    if as_json:
        print_json(check)
    else:
        print_line(check["level"])
        for finding in check["findings"]:
            print_line(f"  {finding['severity']}: {explanation(finding)}")
        _print_unknown(check["unknown"])
    return int(check["exit_code"])


def _print_score(score: Mapping[str, Any], options: argparse.Namespace, policy: Mapping[str, Any]) -> int:
    from ...health.policy import explanation, merged_policy

    if options.json:
        print_json(score)
    elif options.score:
        print_line(str(score["score"]))
    else:
        print_line(f"{score['score']} of 100: {score['verdict']}, {score['recommendation']}")
        for penalty in score["penalties"]:
            print_line(f"  -{penalty['points']}: {explanation(penalty)}")
        _print_unknown(score["unknown"])
    verdicts = [level["verdict"] for level in merged_policy(policy)["verdicts"]]
    if score["verdict"] == verdicts[0]:
        return OK
    return CRITICAL if score["verdict"] == verdicts[-1] else ATTENTION


def _print_unknown(names: list[str]) -> None:
    if names:
        print_line(f"  not known: {', '.join(names)}")
