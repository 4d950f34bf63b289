"""The testbed's own side door: queue jobs, read the audit, order faults, move the clock."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Optional

from . import jobs
from .clock import timestamp
from .emulator import Emulator, guarded
from .exchange import Answer, RefusedError, Request, json_object, not_found
from .faults import Fault
from .state import App, Credential, Job

PREFIX = "/_testbed"


@dataclass(frozen=True)
class Visit:
    """One administrative request, decoded; the world is locked meanwhile."""

    emulator: Emulator
    data: dict[str, Any]
    query: dict[str, str]


def answer(emulator: Emulator, request: Request) -> Answer:
    """Answer one request of a test or of the command line; never raises."""
    return guarded(lambda: (_answer(emulator, request), None))[0]


def _answer(emulator: Emulator, request: Request) -> Answer:
    path = request.path.removeprefix(PREFIX)
    with emulator.changed:
        if match := re.fullmatch(r"/jobs/(\d+)", path):
            return _job(emulator, int(match[1]))
        handler = _ROUTES.get((request.method, path))
        if handler is None:
            raise not_found()
        try:
            done = handler(Visit(emulator, _data(request), request.query))
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(422, f"{request.path}: {type(error).__name__}: {error}") from None
        emulator.changed.notify_all()
        return done


def _data(request: Request) -> dict[str, Any]:
    """Return the body; faults may come as a bare list."""
    if request.body.lstrip().startswith(b"["):
        return {"faults": json.loads(request.body)}
    return json_object(request.body)


def _job(emulator: Emulator, number: int) -> Answer:
    job = emulator.world.jobs.get(number)
    if job is None:
        raise not_found()
    return Answer(200, _render(job))


def _render(job: Job) -> dict[str, Any]:
    def when(moment: Optional[datetime]) -> Optional[str]:
        return timestamp(moment) if moment else None

    return {
        "id": job.id,
        "run_id": job.run_id,
        "repository": job.repository,
        "name": job.name,
        "runs_on": job.runs_on,
        "status": job.status,
        "conclusion": job.conclusion,
        "runner_name": job.runner_name,
        "created_at": when(job.created_at),
        "started_at": when(job.started_at),
        "completed_at": when(job.completed_at),
        "steps": [vars(step) for step in job.steps],
        "log": job.log,
    }


def _queue(visit: Visit) -> Answer:
    for name in ("repository", "name", "runs_on", "script"):
        if name not in visit.data:
            raise RefusedError(422, f'"{name}" wasn\'t supplied.')
    if visit.emulator.world.scope("repos", visit.data["repository"]) is None:
        raise RefusedError(422, f"There is no repository {visit.data['repository']}.")
    return Answer(201, {"id": jobs.queue(visit.emulator.world, visit.data, visit.emulator.clock.moment()).id})


def _jobs(visit: Visit) -> Answer:
    return Answer(200, [_render(job) for job in visit.emulator.world.jobs.values()])


def _audit(visit: Visit) -> Answer:
    wanted = visit.query.get("prefix", "")
    return Answer(200, [entry for entry in visit.emulator.audit if entry["path"].startswith(wanted)])


def _reset(visit: Visit) -> Answer:
    visit.emulator.reset()
    return Answer(204)


def _faults(visit: Visit) -> Answer:
    """Replace all faults: an empty list heals."""
    visit.emulator.faults[:] = [Fault.parse(each) for each in visit.data.get("faults", [])]
    return Answer(204)


def _credential(visit: Visit) -> Answer:
    """Make a token known, with all permissions or with those given."""
    visit.emulator.world.credentials[visit.data["token"]] = Credential(visit.data.get("permissions"))
    return Answer(204)


def _app(visit: Visit) -> Answer:
    app = App(
        visit.data["id"], visit.data["installation_id"], visit.data["public_key"], visit.data["permissions"]
    )
    visit.emulator.world.apps[app.id] = app
    return Answer(204)


def _lie(visit: Visit) -> Answer:
    """Make the API say something else about a runner than what is true."""
    told: dict[str, Any] = {key: visit.data[key] for key in ("status", "busy") if key in visit.data}
    found = [
        runner for runner in visit.emulator.world.runners.values() if runner.name == visit.data.get("runner")
    ]
    if not found:
        raise not_found()
    for runner in found:
        runner.lies = told
    return Answer(204)


def _advance(visit: Visit) -> Answer:
    visit.emulator.clock.advance(float(visit.data["advance_seconds"]))
    return Answer(204)


def _support(visit: Visit) -> Answer:
    """Tell when the support of runner versions ends."""
    visit.emulator.world.support_ends = dict(visit.data["versions"])
    return Answer(204)


def _limit(visit: Visit) -> Answer:
    visit.emulator.world.requests_limit = int(visit.data["limit"])
    return Answer(204)


def _issued_tokens(visit: Visit) -> Answer:
    """Name every token that was given out, and what apps signed to get one, for tests that look for them."""
    world = visit.emulator.world
    bought = [token for token, credential in world.credentials.items() if credential.installation]
    return Answer(200, [*world.runner_tokens, *bought, *world.assertions])


def _health(visit: Visit) -> Answer:
    online = sum(1 for runner in visit.emulator.world.runners.values() if runner.session)
    violations = sum(1 for entry in visit.emulator.audit if entry["violation"])
    return Answer(200, {"status": "ok", "runners_online": online, "violations": violations})


_ROUTES: dict[tuple[str, str], Callable[[Visit], Answer]] = {
    ("GET", "/health"): _health,
    ("GET", "/audit"): _audit,
    ("GET", "/jobs"): _jobs,
    ("POST", "/jobs"): _queue,
    ("GET", "/issued_tokens"): _issued_tokens,
    ("POST", "/reset"): _reset,
    ("POST", "/faults"): _faults,
    ("POST", "/credentials"): _credential,
    ("POST", "/apps"): _app,
    ("POST", "/lies"): _lie,
    ("POST", "/clock"): _advance,
    ("POST", "/rate_limit"): _limit,
    ("POST", "/support"): _support,
}
