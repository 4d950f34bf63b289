"""``runnerctl heal``: check all instances once; a timer calls it every minute."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...host.paths import paths_of
from ..report.words import count
from .output import ATTENTION, CRITICAL, OK, log, print_json, print_line, require_root

if TYPE_CHECKING:
    from ..heal.rules import Action, Decision


def add_commands(group: argparse.ArgumentParser, defaults: Mapping[str, str]) -> None:
    """Add the options of this command to its parser."""
    paths = paths_of(defaults)
    group.description = (
        "Checks every instance once and takes at most one action: it starts a dead instance, or restarts one "
        "that is deaf or shut out. It never acts on an instance with a running job. Exit code 1 when an "
        "instance needs a person, 2 when an action failed."
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument("--dry-run", action="store_true", help="only show the actions; change nothing")
    group.add_argument("--quiet", action="store_true", help="print only actions and new problems")
    group.add_argument("--run", default=paths.run, help="directory of heal.json")
    group.add_argument("--runners", default=paths.runners, help="directory of the instances")
    group.set_defaults(perform=heal)


def heal(options: argparse.Namespace) -> int:
    """Gather the evidence, decide, act, and keep the result."""
    from ...host.process import run
    from ..heal import look, rules
    from ..heal.rules import History, decide

    require_root("see the instances and heal them")
    before = rules.read(options.run)
    history = before.history if before else History()
    place = look.Place(run, options.runners, options.run)
    decision = decide(look.gather(place, history.instances), history, look.clocks())
    if not options.dry_run:
        decision = _act(options, decision)
        rules.write(options.run, decision.history, time.time())
    known = before.needs_person if before and options.quiet else ()
    return _print(options, decision, known)


def _act(options: argparse.Namespace, decision: Decision) -> Decision:
    """Perform the actions; return the decision with their outcomes in its history."""
    from ...host.clock import timestamp
    from ...host.process import run
    from ...runner.account import Host
    from ..heal import act
    from ..heal.rules import Done

    host = Host(run, time.sleep, time.monotonic)
    done = list(decision.history.done)
    for action in decision.actions:
        outcome = act.perform(host, options.runners, action)
        at = timestamp(time.time())
        done.append(Done(decision.history.at, action.instance, action.action, action.reason, outcome, at))
    for name in decision.watch:
        error = act.start_watcher(run, name)
        if error:
            log(error)
    return decision._replace(history=decision.history._replace(done=tuple(done)))


def _print(options: argparse.Namespace, decision: Decision, known: Sequence[str]) -> int:
    from ..heal import rules

    history = decision.history
    done = [action for action in history.done if action.at == history.at]
    needing = rules.needs_person(history)
    if options.json:
        print_json(
            {
                "actions": [action._asdict() for action in decision.actions],
                "watch": list(decision.watch),
                **rules.shown(history, time.time()),
            }
        )
    else:
        for action in decision.actions:
            outcome = next((taken.outcome for taken in done), "not done, this is a dry run")
            print_line(_line(action, outcome))
        for sentence in needing:
            if sentence not in known:
                print_line(sentence)
        if not decision.actions and not needing and not options.quiet:
            print_line(f"{count(len(history.instances), 'instance')}, all well")
    if any(taken.outcome.startswith("failed") for taken in done):
        return CRITICAL
    return ATTENTION if needing else OK


def _line(action: Action, outcome: str) -> str:
    return f"{action.instance}: {action.action}, because {action.reason}: {outcome}"
