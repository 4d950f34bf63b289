"""The supervisor of a service's listener (``RunnerService.js`` in the original)."""

from __future__ import annotations

import signal
import subprocess
import time
from types import FrameType
from typing import Optional

from .basics import SESSION_CONFLICT, SUCCESS, TERMINATED, name_process, root_directory

PAUSE_SECONDS = 5.0
MAX_FAILURES = 10
KILL_SECONDS = 30
CONFIG_REFRESHED = 6


class ListenerSupervisor:
    """The loop that restarts the listener until it ends for good or is stopped."""

    def __init__(self) -> None:
        self._listener: Optional[subprocess.Popen[bytes]] = None
        self._stopping = False

    def stop(self, _signal: int, _frame: Optional[FrameType]) -> None:
        self._stopping = True
        if self._listener is None or self._listener.poll() is not None:
            raise SystemExit(SUCCESS)
        self._listener.send_signal(signal.SIGINT)
        # When the listener does not end in this time, the handler of SIGALRM kills it.
        signal.alarm(KILL_SECONDS)

    def kill(self, _signal: int, _frame: Optional[FrameType]) -> None:
        if self._listener is not None:
            self._listener.kill()

    def run(self) -> int:
        """Run the listener until it ends for good; return 0, as the original always does."""
        program = str(root_directory() / "bin" / "Runner.Listener")
        failures = 0
        while not self._stopping:
            print("Starting Runner listener with startup type: service", flush=True)
            self._listener = subprocess.Popen([program, "run", "--startuptype", "service"])
            status = self._listener.wait()
            print(f"Runner listener exited with error code {status}", flush=True)
            if status in (SUCCESS, TERMINATED, SESSION_CONFLICT):
                break
            failures = 0 if status == CONFIG_REFRESHED else failures + 1
            if failures >= MAX_FAILURES:
                print("Runner listener failed too often, stopping the service.", flush=True)
                break
            if not self._stopping:
                time.sleep(PAUSE_SECONDS)
        return SUCCESS


def main() -> int:
    """Run the service and return its exit status."""
    name_process("node")
    supervisor = ListenerSupervisor()
    signal.signal(signal.SIGINT, supervisor.stop)
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGALRM, supervisor.kill)
    return supervisor.run()
