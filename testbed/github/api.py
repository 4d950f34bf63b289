"""The REST API as a whole: who calls, which operation, is the request right, is the answer right."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .authorization import Caller, authenticate, authorize
from .clock import Moment
from .exchange import Answer, RefusedError, Request, json_object, not_found
from .limits import charge
from .rest import apps, general, groups, runners, runs, variables
from .rest.call import Call, Downloads, Operation, Router
from .state import World
from .validation import Description

PREFIX = "/api/v3"
OPERATIONS: list[Operation] = [
    operation
    for module in (general, runners, groups, variables, runs, apps)
    for operation in module.OPERATIONS
]
_ROUTER = Router(OPERATIONS)


def operations() -> list[tuple[str, str]]:
    """Return method and path template of everything answered here: what to cut from the description."""
    return [(operation.method, operation.path) for operation in OPERATIONS]


class Api:
    """Answers documented requests. ``lock`` guards the world; checking happens outside of it."""

    def __init__(
        self,
        description: Description,
        lock: AbstractContextManager[object],
        downloads: Downloads,
    ) -> None:
        self._description = description
        self._lock = lock
        self._downloads = downloads

    def answer(self, world: World, request: Request, moment: Moment) -> tuple[Answer, str | None]:
        """Return the answer and, if it contradicts GitHub's description, how."""
        found = _ROUTER.find(request.method, request.path.removeprefix(PREFIX))
        with self._lock:
            caller, limits = self._admit(world, request, found[0] if found else None, moment)
        if found is None:
            raise not_found()
        operation, parameters = found
        json_object(request.body)
        if complaint := self._description.complaint(request):
            raise RefusedError(422, complaint, limits)
        call = Call(world, moment, request, parameters, self._description, self._downloads)
        call.credential, call.app_id = caller.credential, caller.app_id
        with self._lock:
            answer = self._perform(operation, call, caller)
        answer.headers.update(limits)
        return answer, self._description.violation(request, answer)

    def _admit(
        self, world: World, request: Request, operation: Operation | None, moment: Moment
    ) -> tuple[Caller, dict[str, str]]:
        caller = authenticate(world, request, operation, moment)
        limits = charge(world, request.authorization()[1], moment).headers()
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
