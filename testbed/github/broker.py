"""The routes of listeners and workers: sessions, job polls and job reports.

GitHub's protocol is not public. This one keeps its visible properties: a signed assertion for a token, one
session per runner (409 otherwise), 404 once the registration is deleted, 410 for a session that timed out.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import parse_qs

from . import jobs, jwt
from .clock import Clock, Moment
from .exchange import Answer, RefusedError, Request, json_object, not_found
from .state import GitHubState, Job, Runner, Session, Step, secret

PREFIX = "/_broker"
# A poll ends after POLL_SECONDS, and the listener asks again. The broker notices a closed connection within
# SLICE_SECONDS.
POLL_SECONDS = 5.0
SLICE_SECONDS = 0.5


class Broker:
    """The handler of requests from listeners and workers.

    ``changed`` guards the state; a change of the state notifies it.
    """

    def __init__(self, changed: threading.Condition, clock: Clock) -> None:
        self._changed = changed
        self._clock = clock

    def answer(self, state: GitHubState, request: Request) -> Answer:
        """Answer one request; raises RefusedError."""
        parts = request.path.removeprefix(PREFIX).strip("/").split("/")
        with self._changed:
            moment = self._clock.moment()
            if request.method == "POST" and parts[:2] == ["oauth", "token"] and len(parts) == 3:
                return _access_token(state, request, parts[2])
            if parts[0] == "jobs" and len(parts) == 3:
                return self._job(state, request, parts[1], parts[2], moment)
            runner = _runner(state, request)
            if parts[0] == "session":
                return _session(runner, request, parts[1:], moment)
            if request.method == "GET" and parts == ["message"]:
                return self._message(state, runner, request)
        raise not_found()

    def _message(self, state: GitHubState, runner: Runner, request: Request) -> Answer:
        """Wait for a job; other threads can take the lock meanwhile."""
        deadline = time.monotonic() + POLL_SECONDS
        while True:
            moment = self._clock.moment()
            _touch(state, runner, request, moment)
            if not request.connected():
                return Answer(204)
            if job := jobs.assign(state, runner, moment):
                return Answer(200, _job_message(job, runner))
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return Answer(204)
            self._changed.wait(min(remaining, SLICE_SECONDS))

    def _job(self, state: GitHubState, request: Request, number: str, event: str, moment: Moment) -> Answer:
        job = state.jobs.get(int(number)) if number.isdecimal() else None
        if job is None or not job.token or request.authorization() != ("bearer", job.token):
            raise not_found()
        runner = state.runners.get(job.runner_id or 0)
        if runner is not None and runner.session is not None:
            runner.session.seen = moment.tick
        if event == "started":
            jobs.start(job, moment)
        elif event == "renewed":
            job.seen = moment.tick
        elif event == "completed":
            _complete(state, job, json_object(request.body), moment)
            self._changed.notify_all()
        else:
            raise not_found()
        return Answer(204)


def _access_token(state: GitHubState, request: Request, client_id: str) -> Answer:
    runner = next((each for each in state.runners.values() if each.client_id == client_id), None)
    if runner is None:
        # GitHub's token service answers 400 with an OAuth error when the registration is gone.
        return Answer(400, {"error": "invalid_client", "error_description": "Registration not found."})
    assertion = parse_qs(request.body.decode()).get("client_assertion", [""])[0]
    try:
        jwt.verify(assertion, jwt.key_from_xml(runner.public_key))
    except jwt.InvalidTokenError:
        raise RefusedError(401, "invalid_client: the assertion's signature is wrong.") from None
    token = secret("bearer_")
    state.runner_access[token] = runner.id
    return Answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 3600})


def _runner(state: GitHubState, request: Request) -> Runner:
    scheme, token = request.authorization()
    number = state.runner_access.get(token)
    if scheme != "bearer" or number is None:
        raise RefusedError(401, "Bad credentials")
    runner = state.runners.get(number)
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


def _touch(state: GitHubState, runner: Runner, request: Request, moment: Moment) -> None:
    if runner.id not in state.runners:
        raise RefusedError(404, "The runner registration has been deleted.")
    jobs.sweep(state, moment)
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


def _complete(state: GitHubState, job: Job, report: dict[str, Any], moment: Moment) -> None:
    steps = [
        Step(each["name"], each["conclusion"], each["started_at"], each["completed_at"])
        for each in report.get("steps", [])
    ]
    conclusion = str(report.get("conclusion", "failure"))
    jobs.complete(state, job, moment, conclusion=conclusion, log=str(report.get("log", "")), steps=steps)
