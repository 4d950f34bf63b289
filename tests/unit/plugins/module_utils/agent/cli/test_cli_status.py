"""``runnerctl status`` as a process, on full, fresh and damaged hosts."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.rules import UNREGISTERED, Done, Known
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.rules import History as Past
from ansible_collections.coldvox.ci.plugins.module_utils.agent.heal.rules import shown as shown_state
from ansible_collections.coldvox.ci.plugins.module_utils.agent.history.database import History
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.read_status import read_facts
from ansible_collections.coldvox.ci.plugins.module_utils.host.clock import timestamp
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import Result
from ansible_collections.coldvox.ci.plugins.module_utils.store.progress import Progress

from tests._support.installed_agent import Agent
from tests._support.job_records import completed, started

#: As systemd 257 answers, with TZ=UTC, for a timer that counts, one by the calendar, and two runners.
SYSTEMD = """Id=coldvox-runner@heavy-1.service
ActiveState=active
UnitFileState=enabled

Id=coldvox-runner@light-1.service
ActiveState=inactive
UnitFileState=disabled

NextElapseUSecRealtime=
NextElapseUSecMonotonic=
Id=coldvox-ci-health.timer
ActiveState=active
UnitFileState=static

Id=coldvox-ci-health.service
ActiveState=failed
UnitFileState=static

NextElapseUSecRealtime=Sun 2026-11-22 02:00:00 UTC
NextElapseUSecMonotonic=0
Id=coldvox-ci-nightly.timer
ActiveState=active
UnitFileState=static
"""

CRONTAB = """# 1 1 * * * root runnerctl cache collect
SHELL=/bin/sh
0 4 * * * root apt-get update
15 3 * * * ci cd /srv/coldvox-ci && ansible-playbook maintenance.yml
"""


def health(**change: Any) -> dict[str, Any]:
    now = time.time()
    return {
        "score": 90,
        "verdict": "healthy",
        "recommendation": "use-self-hosted",
        "observed_at": timestamp(now - 20),
        "expires_at": timestamp(now + 280),
        "consecutive_failures": 0,
        "host": "laptop-extra",
        "runs_on": ["self-hosted"],
        **change,
    }


def healed(**change: Any) -> dict[str, Any]:
    """The state of a pass of healing with one restart and one hopeless instance."""
    done = {"at": 5.0, "instance": "heavy-1", "action": "restart", "reason": "it was deaf", "outcome": "done"}
    action = Done(**{**done, "time": timestamp(time.time() - 60), **change})
    gone = Known(condition=UNREGISTERED, detail="GitHub has deleted its registration")
    return shown_state(Past("boot", 5.0, instances={"light-1": gone}, done=(action,)), time.time())


def sample(**change: Any) -> dict[str, Any]:
    return {
        "timestamp": timestamp(time.time()),
        "load_1m": 5.5,
        "cpu_count": 4,
        "memory_used_percent": 40.0,
        "model_cache_available": True,
        **change,
    }


@pytest.fixture
def host(agent: Agent) -> Agent:
    """A host whose services have left their notes, and that did one job."""
    for name in ("runners", "config"):
        (agent.root / name).mkdir()
    write(Path(agent.paths.health), health())
    write(Path(agent.paths.sample), sample())
    with History(agent.paths.history) as history:
        job = {"instance": "heavy-1", "job": "build", "run_id": 7, "workflow": "CI"}
        started(history, {**job, "at": time.time() - 100})
        completed(history, {**job, "at": time.time() - 40, "result": "success"})
    return agent


def write(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data))


def answer(agent: Agent, user: int | None = None) -> dict[str, Any]:
    """Return the status as JSON, whose level must be the exit code."""
    with agent.start("status", "--json", user=user) as process:
        document: dict[str, Any] = json.loads(process.communicate(timeout=60)[0])
        assert process.returncode == document["exit_code"]
    return document


def needs(seen: dict[str, Any]) -> list[str]:
    """Return the needs without those of the test machine's disk."""
    return [need["what"] for need in seen["needs"] if not need["what"].startswith("the disk of ")]


def shown(agent: Agent, user: int | None = None) -> str:
    """Return the status as a person gets it in a pipe."""
    with agent.start("status", user=user) as process:
        out, errors = process.communicate(timeout=60)
        assert process.returncode in (0, 1, 2)
        assert errors == ""
    return out


def test_status_of_a_fresh_host_gives_reasons(agent: Agent, user: int | None) -> None:
    assert "HEALTH    unknown: there is no" in shown(agent, user)
    seen = answer(agent, user)
    assert needs(seen) == []
    assert {"health", "sample", "caches", "healed"} <= set(seen["unknown"])
    assert seen["today"]["jobs"] == 0, "no job yet is no failure"
    assert all(seen["unknown"].values())


def test_status_shows_the_files_of_the_services(host: Agent, user: int | None) -> None:
    seen = answer(host, user)
    assert (needs(seen), seen["health"]["score"], seen["load"]) == ([], 90, 5.5)
    assert seen["health"]["reasons"] == [{"points": 20, "what": "load over one minute: 5.5, above 4"}]
    assert {"health", "sample", "settings"}.isdisjoint(seen["unknown"])


def test_status_counts_jobs_of_today(host: Agent) -> None:
    assert answer(host)["today"]["jobs"] in (0, 1)  # none when midnight has just passed
    assert "jobs" not in answer(host)["unknown"]


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("run/agent/health.json", "{", "health"),
        ("run/agent/health.json", "[]", "health"),
        ("run/agent/health.json", json.dumps(health(score="many")), "health"),
        ("run/agent/health.json", json.dumps(health(expires_at="soon")), "health"),
        ("run/agent/health.json", json.dumps({}), "health"),
        ("run/agent/sample.json", json.dumps(sample(timestamp=None)), "sample"),
        ("run/agent/sample.json", "\udcff", "sample"),
        ("run/heal.json", "{}", "healed"),
        ("run/heal.json", json.dumps(healed(time="soon")), "healed"),
        ("state/history/history.db", "no database, but long enough to be read as one " * 9, "jobs"),
        ("config/agent.json", "{", "settings"),
    ],
)
def test_status_loses_only_the_part_of_a_damaged_file(
    host: Agent, name: str, content: str, part: str
) -> None:
    (host.root / name).write_bytes(content.encode(errors="surrogateescape"))
    seen = answer(host)
    assert seen["unknown"][part]
    assert seen["disks"]


def test_status_exit_code_is_the_level(host: Agent) -> None:
    write(Path(host.paths.health), health(verdict="degraded", score=60))
    assert needs(answer(host)) == ["the health score is 60: degraded"]
    write(Path(host.paths.health), health(verdict="unhealthy", score=20))
    assert "!! the health score is 20: unhealthy" in host.run("status", status=2).stdout
    assert answer(host)["level"] == "critical"


def test_status_shows_actions_of_healing(host: Agent, user: int | None) -> None:
    write(host.root / "run" / "heal.json", healed())
    seen = answer(host, user)
    assert [action["what"] for action in seen["healed"]] == ["heavy-1: restart, because it was deaf"]
    assert needs(seen) == ["runner light-1: GitHub has deleted its registration"]
    assert seen["needs"][0]["level"] == "critical"
    write(host.root / "run" / "heal.json", healed(outcome="failed: no systemd"))
    assert "because it was deaf (failed: no systemd)" in " ".join(shown(host).split())


def test_status_shows_a_running_download(host: Agent, user: int | None) -> None:
    (host.store / "progress").mkdir(parents=True)
    path = host.store / "progress" / f"{'0' * 64}.json"
    Progress(str(path), "big", "https://example.org/big.zip").report("download", 450_000_000, 1_800_000_000)
    assert "DOWNLOADS big: download 450 MB of 1.8 GB (25 %)" in shown(host, user)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can close a file to another user")
def test_status_names_files_that_the_user_may_not_read(host: Agent, user: int | None) -> None:
    Path(host.paths.health).chmod(0o600)
    Path(host.paths.history).chmod(0o600)
    seen = answer(host, user)
    assert "may not be read by this user" in seen["unknown"]["health"]
    assert seen["unknown"]["jobs"]


def on_a_terminal(agent: Agent, **environment: str) -> str:
    """Return what a person at a terminal of 70 columns sees."""
    controller, terminal = pty.openpty()
    os.set_blocking(controller, False)
    termios.tcsetwinsize(terminal, (24, 70))
    given = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    subprocess.run(
        [agent.command, "status"],
        stdout=terminal,
        stdin=subprocess.DEVNULL,
        env={**given, "TERM": "xterm", **environment},
        timeout=60,
        check=False,
    )
    os.close(terminal)
    text = b""
    try:
        while data := os.read(controller, 65536):
            text += data
    except OSError:  # the other end is closed
        pass
    os.close(controller)
    return text.decode()


def test_status_has_colours_only_on_a_terminal(host: Agent) -> None:
    assert "\x1b[32mhealthy" in on_a_terminal(host)
    assert max(len(line) for line in on_a_terminal(host, NO_COLOR="1").splitlines()) <= 70
    for no in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_a_terminal(host, **no)
    assert "\x1b[32mhealthy" in on_a_terminal(host, NO_COLOR=""), "an empty one does not count"
    assert "\x1b" not in shown(host)


@pytest.mark.parametrize(
    ("redirection", "said"),
    [(">/dev/full", "The output cannot be written (No space left on device)"), (">&-", "")],
)
@pytest.mark.parametrize("command", ["status", "report", "status --json"])
def test_output_that_cannot_be_written_is_one_sentence(
    host: Agent, command: str, redirection: str, said: str
) -> None:
    done = subprocess.run(
        f"{host.command} {command} {redirection}", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert (done.returncode == 3) is bool(said)


def test_status_of_a_host_without_a_job_knows_that(host: Agent) -> None:
    for path in Path(host.paths.history).parent.iterdir():
        path.unlink()
    seen = answer(host)
    assert "jobs" not in seen["unknown"]
    assert seen["today"]["jobs"] == 0


def test_status_acknowledges_failed_jobs(host: Agent) -> None:
    with History(host.paths.history) as history:
        for number in range(4):
            job = {"instance": "heavy-1", "job": "test", "run_id": 10 + number, "workflow": "CI"}
            started(history, {**job, "at": time.time() - 300})
            completed(history, {**job, "at": time.time() - 200, "result": "failure"})
    assert needs(answer(host)) == ["4 of 5 jobs of the last 24 hours failed here"]
    done = subprocess.run(
        [host.command, "status", "--acknowledge"], capture_output=True, text=True, check=False
    )
    assert "failed here" not in done.stdout + done.stderr
    assert needs(answer(host)) == []


def test_status_reports_a_store_that_vanished(host: Agent) -> None:
    (host.root / "runners" / "heavy-1" / "bin").mkdir(parents=True)
    host.store.mkdir(exist_ok=True)
    facts = read_facts(
        {name: str(host.root / name) for name in ("run", "state", "runners", "config", "store")},
        lambda _argv, **_options: Result(0, SYSTEMD, ""),
    )
    assert facts.lost_store == str(host.store), "a mount point without its disk is an empty directory"


def test_status_accepts_a_closed_pipe(host: Agent) -> None:
    done = subprocess.run(f"{host.command} status | head -1", shell=True, capture_output=True, check=True)
    assert done.stderr == b""


def test_gather_reads_units_and_timers_of_systemd(host: Agent) -> None:
    for name in ("heavy-1", "light-1"):
        (host.root / "runners" / name / "bin").mkdir(parents=True)
    (host.root / "runners" / "lost+found").mkdir()
    asked: list[Any] = []

    def systemctl(argv: Any, **options: Any) -> Result:
        asked.append((argv, options["environment"]["TZ"], options["timeout_seconds"]))
        return Result(0, SYSTEMD, "")

    places = {name: str(host.root / name) for name in ("run", "state", "runners", "config", "store")}
    (host.root / "cron.d").mkdir()
    (host.root / "cron.d" / "nightly").write_text(CRONTAB)
    facts = read_facts(places, systemctl, str(host.root))
    ((argv, zone, bound),) = asked
    assert argv[-3:] == ["coldvox-ci-*", "coldvox-runner@heavy-1.service", "coldvox-runner@light-1.service"]
    assert (zone, bound > 0) == ("UTC", True)
    assert [(each.name, each.state, each.drained) for each in facts.instances or ()] == [
        ("heavy-1", "active", False),
        ("light-1", "inactive", True),
    ]
    assert facts.failed_units == ["coldvox-ci-health.service"]
    assert [*(facts.timers or ())] == [
        ("coldvox-ci-health", None, ""),
        ("coldvox-ci-nightly", 1795312800.0, ""),
        ("nightly", None, "15 3 * * *"),
    ]
