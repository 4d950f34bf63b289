"""The emulator without HTTP: it answers requests and records them."""

from __future__ import annotations

import collections
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Optional

from . import broker, jobs, setup_routes
from .api import PREFIX, Api
from .clock import Clock, timestamp
from .exchange import Answer, RefusedError, Request, not_found
from .faults import Fault
from .rest.call import Downloads, no_downloads
from .seed import seeded_state
from .validation import Description

AUDIT_ENTRIES = 20_000


def guarded(serve: Callable[[], tuple[Answer, Optional[str]]]) -> tuple[Answer, Optional[str]]:
    """Return the answer of ``serve``, and how it violates GitHub's description.

    A RefusedError becomes its error answer. Any other exception is a defect of the emulator: it becomes a
    violation, so that the caller gets an answer and no test takes it for one of GitHub's.
    """
    try:
        return serve()
    except RefusedError as refusal:
        return refusal.answer(), None
    except Exception as error:
        traceback.print_exc()
        return Answer(500), f"The emulator failed with {type(error).__name__}: {error}"


class Emulator:
    """The emulated GitHub: its state, clock, faults and audit."""

    def __init__(
        self,
        description: Description,
        *,
        downloads: Downloads = no_downloads,
    ) -> None:
        self.clock = Clock()
        self.changed = threading.Condition()
        self.faults: list[Fault] = []
        self.audit: collections.deque[dict[str, Any]] = collections.deque(maxlen=AUDIT_ENTRIES)
        self.state = seeded_state()
        self._api = Api(description, self.changed, downloads)
        self._broker = broker.Broker(self.changed, self.clock)

    def reset(self) -> None:
        """Restore the initial state, and remove faults and audit.

        Listeners then find their registration deleted.
        """
        with self.changed:
            self.state = seeded_state()
            self.faults.clear()
            self.audit.clear()
            self.changed.notify_all()

    def violations(self) -> list[dict[str, Any]]:
        """Return the audit entries of answers that violate GitHub's description."""
        with self.changed:
            return [entry for entry in self.audit if entry["violation"]]

    def answer(self, request: Request) -> Answer:
        """Answer one request of a GitHub client; never raises."""
        answer, violation = guarded(lambda: self._serve(request))
        if violation:
            answer = Answer(500, {"message": "The emulator's answer violates spec.", "violation": violation})
        self._record(request, answer, violation)
        return answer

    def _serve(self, request: Request) -> tuple[Answer, Optional[str]]:
        if faulty := self._fault(request):
            return faulty, None
        moment, state = self.clock.moment(), self.state
        with self.changed:
            jobs.sweep(state, moment)
            setup_answer = setup_routes.answer(state, request, moment)
        if setup_answer is not None:
            return setup_answer, None
        if request.path.startswith(PREFIX):
            served = self._api.answer(state, request, moment)
            if request.method != "GET":
                with self.changed:
                    self.changed.notify_all()
            return served
        if request.path.startswith(broker.PREFIX):
            return self._broker.answer(state, request), None
        raise not_found()

    def _fault(self, request: Request) -> Optional[Answer]:
        with self.changed:
            fault = next((each for each in self.faults if each.applies(request)), None)
            answer = fault.spend() if fault else None
        if fault and fault.delay_seconds:
            time.sleep(fault.delay_seconds)
        return answer

    def _record(self, request: Request, answer: Answer, violation: Optional[str]) -> None:
        scheme = request.authorization()[0]
        entry = {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "status": answer.status,
            "time": timestamp(self.clock.moment().now),
            "authorization": scheme,
            "user_agent": request.headers.get("user-agent", ""),
            "violation": violation,
        }
        with self.changed:
            self.audit.append(entry)
