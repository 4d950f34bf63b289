"""The emulator's routes for tests and the command line, below ``/_testbed``.

They queue jobs, read the audit, inject faults and move the clock.
"""

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
class AdminCall:
    """One administrative request, decoded; the caller holds the lock on the state."""

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
            done = handler(AdminCall(emulator, _data(request), request.query))
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(422, f"{request.path}: {type(error).__name__}: {error}") from None
        emulator.changed.notify_all()
        return done


def _data(request: Request) -> dict[str, Any]:
    """Return the body; a bare list is a list of faults."""
    if request.body.lstrip().startswith(b"["):
        return {"faults": json.loads(request.body)}
    return json_object(request.body)


def _job(emulator: Emulator, number: int) -> Answer:
    job = emulator.state.jobs.get(number)
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


def _queue(call: AdminCall) -> Answer:
    for name in ("repository", "name", "runs_on", "script"):
        if name not in call.data:
            raise RefusedError(422, f'"{name}" wasn\'t supplied.')
    if call.emulator.state.scope("repos", call.data["repository"]) is None:
        raise RefusedError(422, f"There is no repository {call.data['repository']}; name a known one.")
    return Answer(201, {"id": jobs.queue(call.emulator.state, call.data, call.emulator.clock.moment()).id})


def _jobs(call: AdminCall) -> Answer:
    return Answer(200, [_render(job) for job in call.emulator.state.jobs.values()])


def _audit(call: AdminCall) -> Answer:
    wanted = call.query.get("prefix", "")
    return Answer(200, [entry for entry in call.emulator.audit if entry["path"].startswith(wanted)])


def _reset(call: AdminCall) -> Answer:
    call.emulator.reset()
    return Answer(204)


def _faults(call: AdminCall) -> Answer:
    """Replace all faults; an empty list removes them."""
    call.emulator.faults[:] = [Fault.parse(each) for each in call.data.get("faults", [])]
    return Answer(204)


def _credential(call: AdminCall) -> Answer:
    """Accept a token, with all permissions or with the given ones."""
    call.emulator.state.credentials[call.data["token"]] = Credential(call.data.get("permissions"))
    return Answer(204)


def _app(call: AdminCall) -> Answer:
    app = App(
        call.data["id"], call.data["installation_id"], call.data["public_key"], call.data["permissions"]
    )
    call.emulator.state.apps[app.id] = app
    return Answer(204)


def _lie(call: AdminCall) -> Answer:
    """Make the API report a status of a runner that is not the true one."""
    lies: dict[str, Any] = {key: call.data[key] for key in ("status", "busy") if key in call.data}
    named = [
        runner for runner in call.emulator.state.runners.values() if runner.name == call.data.get("runner")
    ]
    if not named:
        raise not_found()
    for runner in named:
        runner.lies = lies
    return Answer(204)


def _advance(call: AdminCall) -> Answer:
    call.emulator.clock.advance(float(call.data["advance_seconds"]))
    return Answer(204)


def _support(call: AdminCall) -> Answer:
    """Set the times when the support of runner versions ends."""
    call.emulator.state.support_ends = dict(call.data["versions"])
    return Answer(204)


def _visibility(call: AdminCall) -> Answer:
    """Make a repository public or private."""
    change = call.emulator.state.public.add if call.data["public"] else call.emulator.state.public.discard
    change(call.data["repository"])
    return Answer(204)


def _limit(call: AdminCall) -> Answer:
    call.emulator.state.requests_limit = int(call.data["limit"])
    return Answer(204)


def _issued_tokens(call: AdminCall) -> Answer:
    """Return every issued token and every assertion of an App.

    Tests look for them in places where they must not be.
    """
    state = call.emulator.state
    installation_tokens = [
        token for token, credential in state.credentials.items() if credential.installation
    ]
    return Answer(200, [*state.runner_tokens, *installation_tokens, *state.assertions])


def _health(call: AdminCall) -> Answer:
    online = sum(1 for runner in call.emulator.state.runners.values() if runner.session)
    violations = sum(1 for entry in call.emulator.audit if entry["violation"])
    return Answer(200, {"status": "ok", "runners_online": online, "violations": violations})


_ROUTES: dict[tuple[str, str], Callable[[AdminCall], Answer]] = {
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
    ("POST", "/visibility"): _visibility,
}
