"""A host for runner tests without systemd as PID 1.

``systemctl`` is a stand-in; everything else is real.
"""

from __future__ import annotations

import getpass
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional
from urllib.request import ProxyHandler, Request, build_opener

from tests._support.ansible_process import run_ansible

CHECKOUT = Path(__file__).resolve().parents[2]
TREE = CHECKOUT / "testbed" / "runner" / "tree"
TOKEN = "sandbox-admin-token"
# Runs each unit's run.sh as a process group, as the account of its drop-in, and logs its actions.
SYSTEMCTL = """#!{python}
import contextlib, os, pathlib, signal, subprocess, sys, time
home = pathlib.Path({home!r})
words = [word for word in sys.argv[1:] if not word.startswith("-")]
verb, units, waits = words[0], words[1:], "--no-block" not in sys.argv
with open(home / "log", "a") as log:
    log.write(" ".join(words) + "\\n") if verb != "show" and waits else None
def pid(unit):
    try:
        found = int((home / (unit + ".pid")).read_text())
        state = pathlib.Path("/proc/%d/stat" % found).read_text().rpartition(")")[2].split()[0]
        return 0 if state == "Z" else found
    except (OSError, ValueError):
        return 0
for unit in units:
    name = unit.partition("@")[2].rpartition(".")[0]
    root = home.parent / "base" / name
    if verb == "show":
        on = (home / (unit + ".enabled")).exists()
        # A test may say what systemd is to answer next.
        planned = (home / "states").read_text().split() if (home / "states").exists() else []
        if planned:
            (home / "states").write_text(" ".join(planned[1:]))
        print("Id=%s" % unit)
        print("ActiveState=%s" % (planned[0] if planned else "active" if pid(unit) else "inactive"))
        print("SubState=x")
        print("UnitFileState=%s" % ("enabled" if on else "disabled"))
        print("NeedDaemonReload=no\\n")
    elif verb == "enable":
        (home / (unit + ".enabled")).touch()
    elif verb == "disable":
        (home / (unit + ".enabled")).unlink(missing_ok=True)
    elif verb == "start" and not pid(unit):
        if (home / "broken").exists():
            sys.exit("Job for %s failed." % unit)
        jit, extra = root / ".coldvox" / "jit.env", {{}}
        if jit.exists():
            extra = dict([jit.read_text().strip().split("=", 1)])
            jit.unlink()
        if not (extra or (root / ".runner").exists()):
            continue
        user = {user!r}
        become = ["setpriv", "--reuid=" + user, "--regid={gid}", "--init-groups", "--"]
        become = become if os.geteuid() == 0 else []
        started = subprocess.Popen(
            [*become, str(root / "run.sh")], cwd=root, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=open(home / (unit + ".out"), "a"), stderr=subprocess.STDOUT,
            env={{
                "PATH": "/usr/bin:/bin", "HOME": str(root / "_home"), "RUNNER_MANUALLY_TRAP_SIG": "1", **extra
            }},
        )
        (home / (unit + ".pid")).write_text(str(started.pid))
    elif verb == "stop" and (listener := pid(unit)):
        # Never ask again for the number: 0, once it has ended, would be this program's own group.
        with contextlib.suppress(ProcessLookupError):
            os.kill(listener, signal.SIGTERM)
            for _ in range(100 if waits else 0):
                if not pid(unit):
                    break
                time.sleep(0.1)
            else:
                os.killpg(listener, signal.SIGKILL) if waits else None
"""


class RunnerHost:
    """Directories, a stand-in systemctl and a store tree of a host."""

    def __init__(self, url: str) -> None:
        # Pytest's own directory is closed to the account of the runners.
        self.root = Path(tempfile.mkdtemp(prefix="coldvox-runner-"))
        self.root.chmod(0o755)
        self.url = url
        #: More variables for the controller.
        self.environment: dict[str, str] = {}
        #: False starts ansible as from the shell.
        self.warm = True
        self.user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        self.base = self.root / "base"
        self.units = self.root / "units"
        self.systemctl = self.root / "systemctl"
        for place in (self.base, self.units, self.systemctl, self.root / "bin"):
            place.mkdir()
        self.archive = self.publish("ab" * 32)
        program = self.root / "bin" / "systemctl"
        text = SYSTEMCTL.format(
            python=sys.executable,
            home=str(self.systemctl),
            user=self.user,
            gid=pwd.getpwnam(self.user).pw_gid,
        )
        program.write_text(text)
        program.chmod(0o755)
        (self.units / "coldvox-runner@.service").write_text("[Service]\n")

    def publish(self, digest: str, version: Optional[str] = None) -> Path:
        """Put the stand-in runner into the store with the given version."""
        target = self.root / "trees" / digest
        shutil.copytree(TREE, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        if version:
            (target / "bin" / "standin" / "VERSION").write_text(version + "\n")
        return target

    def close(self) -> None:
        """Stop all runners and remove everything."""
        for name in self.pids():
            subprocess.run(
                [str(self.root / "bin" / "systemctl"), "stop", f"coldvox-runner@{name}.service"], check=True
            )
        shutil.rmtree(self.root)

    def converge(self, *instances: dict[str, Any], verbose: bool = False, **options: Any) -> dict[str, Any]:
        """Run the action plugin by ansible on this machine.

        Return its result, with all output as ``_output``.
        """
        check = bool(options.pop("check", False))
        arguments = {
            "url": self.url,
            "token": TOKEN,
            "archive": str(self.archive),
            "base_dir": str(self.base),
            "unit_dir": str(self.units),
            "instances": [{"user": self.user, **instance} for instance in instances],
            "online_timeout_seconds": 20,
            **options,
        }
        flags = [*(["--check", "--diff"] if check else []), *(["-vvv"] if verbose else [])]
        return self.call("coldvox.ci.github_runner", arguments, *flags)

    def call(self, module: str, arguments: dict[str, Any], *flags: str) -> dict[str, Any]:
        """Run any module by ansible on this machine; return its result like ``converge``."""
        done = run_ansible(
            *("ansible", "localhost", "-m", module, *flags),
            *("-e", f"ansible_python_interpreter={sys.executable}", "-a", json.dumps(arguments)),
            environment={"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", **self.environment},
            warm=self.warm,
        )
        _head, _arrow, body = done.stdout.rpartition("localhost | ")[2].partition(" => ")
        assert body, done.stdout + done.stderr
        result: dict[str, Any] = json.JSONDecoder().raw_decode(body)[0]
        result["_output"] = done.stdout + done.stderr
        result["failed"] = done.returncode != 0
        return result

    def remove_at_github(self, number: int) -> None:
        """Delete a registration as a person does on GitHub's page."""
        url = f"{self.url.rpartition('/Coldaine')[0]}/api/v3/repos/Coldaine/ColdVox/actions/runners/{number}"
        request = Request(url, method="DELETE", headers={"Authorization": f"Bearer {TOKEN}"})
        with build_opener(ProxyHandler({})).open(request) as response:
            assert response.status == 204

    def pids(self) -> dict[str, int]:
        """Return the main process of every unit that was started, by instance."""
        return {
            path.name.partition("@")[2].removesuffix(".service.pid"): int(path.read_text())
            for path in self.systemctl.glob("*.pid")
        }

    def wait_for_end(self, instance: str) -> None:
        """Wait until the unit of ``instance`` has ended by itself."""
        systemctl = [str(self.root / "bin" / "systemctl"), "show", f"coldvox-runner@{instance}.service"]
        deadline = time.monotonic() + 60
        while (
            "ActiveState=active"
            in subprocess.run(systemctl, capture_output=True, text=True, check=True).stdout
        ):
            assert time.monotonic() < deadline, "the runner does not end"
            time.sleep(0.1)

    def wait_for_registration(self, instance: str) -> None:
        """Wait until the runner of ``instance`` has written its registration."""
        deadline = time.monotonic() + 60
        while not self.file(instance, ".runner").exists():
            assert time.monotonic() < deadline, "the runner does not start"
            time.sleep(0.1)

    def log(self) -> list[str]:
        """Return the changes that systemctl was asked for since the last call."""
        path = self.systemctl / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return lines

    def file(self, instance: str, name: str) -> Path:
        return self.base / instance / name
