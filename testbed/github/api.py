"""The REST API: authentication, routing, and checks of requests and answers."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .authorization import Caller, authenticate, authorize
from .clock import Moment
from .exchange import Answer, RefusedError, Request, json_object, not_found
from .rate_limit import count_request
from .rest import apps, general, groups, runners, runs, variables
from .rest.call import Call, Downloads, Operation, Router
from .state import GitHubState
from .validation import Description

PREFIX = "/api/v3"
OPERATIONS: list[Operation] = [
    operation
    for module in (general, runners, groups, variables, runs, apps)
    for operation in module.OPERATIONS
]
_ROUTER = Router(OPERATIONS)


def operations() -> list[tuple[str, str]]:
    """Return method and path template of every operation that the emulator answers.

    GitHub's description is cut to these.
    """
    return [(operation.method, operation.path) for operation in OPERATIONS]


class Api:
    """The handler of documented requests.

    ``lock`` guards the state; the checks against the description run without it.
    """

    def __init__(
        self,
        description: Description,
        lock: AbstractContextManager[object],
        downloads: Downloads,
    ) -> None:
        self._description = description
        self._lock = lock
        self._downloads = downloads

    def answer(self, state: GitHubState, request: Request, moment: Moment) -> tuple[Answer, str | None]:
        """Return the answer and how it violates GitHub's description, or None."""
        match = _ROUTER.find(request.method, request.path.removeprefix(PREFIX))
        with self._lock:
            caller, limits = self._admit(state, request, match[0] if match else None, moment)
        if match is None:
            raise not_found()
        operation, parameters = match
        json_object(request.body)
        if complaint := self._description.complaint(request):
            raise RefusedError(422, complaint, limits)
        call = Call(state, moment, request, parameters, self._description, self._downloads)
        call.credential, call.app_id = caller.credential, caller.app_id
        with self._lock:
            answer = self._perform(operation, call, caller)
        answer.headers.update(limits)
        return answer, self._description.violation(request, answer)

    def _admit(
        self, state: GitHubState, request: Request, operation: Operation | None, moment: Moment
    ) -> tuple[Caller, dict[str, str]]:
        caller = authenticate(state, request, operation, moment)
        limits = count_request(state, request.authorization()[1], moment).headers()
        if operation is not None:
            authorize(caller, operation)
        return caller, limits

    def _perform(self, operation: Operation, call: Call, caller: Caller) -> Answer:
        try:
            if caller.scope is not None and caller.scope != call.scope:
                raise not_found()
            return operation.answer(call)
        except RefusedError as refusal:
            return refusal.answer()
