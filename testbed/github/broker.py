"""Where listeners get their jobs: access tokens, one session per runner, a long poll, and reports on a job.

The real protocol is not public. This one keeps its visible properties: a signed assertion for a token, one
session at a time (409 otherwise), 404 once the registration is deleted, 410 for a session that timed out.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import parse_qs

from . import jobs, jwt
from .clock import Clock, Moment
from .exchange import Answer, RefusedError, Request, json_object, not_found
from .state import Job, Runner, Session, Step, World, secret

PREFIX = "/_broker"
# The listener asks again at least this often, and a dead connection is noticed within a slice.
POLL_SECONDS = 5.0
SLICE_SECONDS = 0.5


class Broker:
    """Answers listeners and workers; ``changed`` guards the world and is notified when it changes."""

    def __init__(self, changed: threading.Condition, clock: Clock) -> None:
        self._changed = changed
        self._clock = clock

    def answer(self, world: World, request: Request) -> Answer:
        """Answer one request; raises RefusedError."""
        parts = request.path.removeprefix(PREFIX).strip("/").split("/")
        with self._changed:
            moment = self._clock.moment()
            if request.method == "POST" and parts[:2] == ["oauth", "token"] and len(parts) == 3:
                return _access_token(world, request, parts[2])
            if parts[0] == "jobs" and len(parts) == 3:
                return self._job(world, request, parts[1], parts[2], moment)
            runner = _runner(world, request)
            if parts[0] == "session":
                return _session(runner, request, parts[1:], moment)
            if request.method == "GET" and parts == ["message"]:
                return self._message(world, runner, request)
        raise not_found()

    def _message(self, world: World, runner: Runner, request: Request) -> Answer:
        """Wait for a job; the lock is given away while waiting."""
        deadline = time.monotonic() + POLL_SECONDS
        while True:
            moment = self._clock.moment()
            _touch(world, runner, request, moment)
            if not request.connected():
                return Answer(204)
            if job := jobs.assign(world, runner, moment):
                return Answer(200, _job_message(job, runner))
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return Answer(204)
            self._changed.wait(min(remaining, SLICE_SECONDS))

    def _job(self, world: World, request: Request, number: str, event: str, moment: Moment) -> Answer:
        job = world.jobs.get(int(number)) if number.isdecimal() else None
        if job is None or not job.token or request.authorization() != ("bearer", job.token):
            raise not_found()
        runner = world.runners.get(job.runner_id or 0)
        if runner is not None and runner.session is not None:
            runner.session.seen = moment.tick
        if event == "started":
            jobs.start(job, moment)
        elif event == "renewed":
            job.seen = moment.tick
        elif event == "completed":
            _complete(world, job, json_object(request.body), moment)
            self._changed.notify_all()
        else:
            raise not_found()
        return Answer(204)


def _access_token(world: World, request: Request, client_id: str) -> Answer:
    runner = next((each for each in world.runners.values() if each.client_id == client_id), None)
    if runner is None:
        # GitHub's token service answers 400 with an OAuth error when the registration is gone.
        return Answer(400, {"error": "invalid_client", "error_description": "Registration not found."})
    assertion = parse_qs(request.body.decode()).get("client_assertion", [""])[0]
    try:
        jwt.verify(assertion, jwt.key_from_xml(runner.public_key))
    except jwt.InvalidTokenError:
        raise RefusedError(401, "invalid_client: the assertion's signature is wrong.") from None
    token = secret("bearer_")
    world.runner_access[token] = runner.id
    return Answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 3600})


def _runner(world: World, request: Request) -> Runner:
    scheme, token = request.authorization()
    number = world.runner_access.get(token)
    if scheme != "bearer" or number is None:
        raise RefusedError(401, "Bad credentials")
    runner = world.runners.get(number)
    if runner is None:
        raise RefusedError(404, "The runner registration has been deleted.")
    return runner


def _session(runner: Runner, request: Request, rest: list[str], moment: Moment) -> Answer:
    if request.method == "POST" and not rest:
        if runner.session is not None:
            raise RefusedError(409, "A session for this runner already exists.")
        data = json_object(request.body)
        runner.session = Session(secret("session_"), moment.tick)
        runner.os, runner.version = data.get("os", runner.os), data.get("version", runner.version)
        return Answer(200, {"sessionId": runner.session.id})
    if request.method == "DELETE" and runner.session and rest == [runner.session.id]:
        runner.session = None
        return Answer(204)
    raise not_found()


def _touch(world: World, runner: Runner, request: Request, moment: Moment) -> None:
    if runner.id not in world.runners:
        raise RefusedError(404, "The runner registration has been deleted.")
    jobs.sweep(world, moment)
    if runner.session is None or runner.session.id != request.query.get("sessionId"):
        raise RefusedError(410, "The session has expired.")
    runner.session.seen = moment.tick


def _job_message(job: Job, runner: Runner) -> dict[str, Any]:
    return {
        "messageType": "RunnerJobRequest",
        "body": {
            "id": job.id,
            "run_id": job.run_id,
            "name": job.name,
            "repository": job.repository,
            "script": job.script,
            "token": job.token,
            "labels": [label.name for label in runner.labels],
        },
    }


def _complete(world: World, job: Job, report: dict[str, Any], moment: Moment) -> None:
    steps = [
        Step(each["name"], each["conclusion"], each["started_at"], each["completed_at"])
        for each in report.get("steps", [])
    ]
    conclusion = str(report.get("conclusion", "failure"))
    jobs.complete(world, job, moment, conclusion=conclusion, log=str(report.get("log", "")), steps=steps)
