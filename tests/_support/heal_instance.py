"""An instance in a directory of the test, with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.runner.layout import Layout

_IDLE = "import time; print(flush=True); time.sleep(600)\n"


class Instance:
    """The instance ``one`` below ``base``, with its own systemctl and journalctl.

    ``units`` is the output of systemctl, ``journal`` that of journalctl, and ``refusal`` the error of every
    call.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "one"
        self.layout = Layout(str(self.root))
        self.processes: list[subprocess.Popen[bytes]] = []
        self.calls: list[list[str]] = []
        self.units: dict[str, dict[str, str]] = {
            "coldvox-runner@one.service": {
                "ActiveState": "active",
                "SubState": "running",
                "UnitFileState": "enabled",
                "NRestarts": "0",
                "MainPID": str(os.getpid()),
            }
        }
        self.journal = ""
        self.refusal = ""
        (self.root / ".coldvox").mkdir(parents=True)
        (self.root / ".coldvox" / "registration.json").write_text("{}")
        (self.root / "_diag").mkdir()
        self.register()

    def register(self, **settings: Any) -> None:
        """Write the runner's own file, as config.sh does."""
        data = {"agentId": 1, "workFolder": "_work", **settings}
        (self.root / ".runner").write_text(json.dumps(data), encoding="utf-8-sig")

    def start(self, name: str, code: str = _IDLE) -> subprocess.Popen[bytes]:
        """Start the instance's program ``name`` and wait for its first line."""
        program = self.root / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(code)
        process = subprocess.Popen(
            [sys.executable, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.processes.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def run(self, argv: Sequence[str], **_options: Any) -> Result:
        """Answer as systemctl and journalctl would; a stop waits for the listener to end."""
        self.calls.append(list(argv))
        if self.refusal:
            return Result(1, "", self.refusal)
        if argv[0] == "journalctl":
            return Result(0, self._journal(argv), "")
        if argv[1] == "show":
            shown = [{"Id": unit, **self.units.get(unit, {})} for unit in argv[4:]]
            return Result(
                0, "\n\n".join("\n".join(f"{k}={v}" for k, v in unit.items()) for unit in shown), ""
            )
        if argv[1] == "stop" and "--no-block" not in argv:
            for process in self.processes:
                process.wait(30)
        return Result(0, "", "")

    def _journal(self, argv: Sequence[str]) -> str:
        """Return the lines since the given time, in the given order.

        A line without a field matches every value of it, but systemd wrote only lines that name it.
        """
        words = [word.partition("=")[::2] for word in argv[1:]]
        asked = dict(words)
        since = float(asked.get("--since", "@0")[1:])
        wanted: dict[str, set[str]] = {}
        for field, value in words:
            if not field.startswith("--"):
                wanted.setdefault(field, set()).add(value)
        recent = []
        for line in self.journal.splitlines(keepends=True):
            fields = {"UNIT": "", **json.loads(line)}
            if int(fields["__REALTIME_TIMESTAMP"]) / 1e6 >= since and all(
                fields.get(field, *values) in values if len(values) == 1 else fields.get(field) in values
                for field, values in wanted.items()
            ):
                recent.append(line)
        number = int(asked.get("--lines", "1000000"))
        ordered = recent[::-1] if "--reverse" in asked else recent
        return "".join(ordered[:number])

    def asked(self, word: str) -> list[list[str]]:
        """The calls of systemctl for ``word``."""
        return [call for call in self.calls if call[:2] == ["systemctl", word]]

    def end(self) -> None:
        """End all processes."""
        for process in self.processes:
            process.kill()
            process.communicate()
