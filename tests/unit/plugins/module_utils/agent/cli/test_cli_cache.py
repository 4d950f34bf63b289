"""``runnerctl cache`` as a process of a job's user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.store.layout import Layout
from ansible_collections.coldvox.ci.plugins.module_utils.store.locks import Locks
from ansible_collections.coldvox.ci.plugins.module_utils.store.progress import Progress

from tests._support.fault_server import install, model_zip, sha256, wanted
from tests._support.installed_agent import Agent, first_line

MODEL = model_zip()
DIGEST = sha256(MODEL)


@pytest.fixture
def stocked(agent: Agent) -> Agent:
    """An agent whose store has the model ``m`` and the single file ``f``."""
    (agent.root / "m.zip").write_bytes(MODEL)
    (agent.root / "f.bin").write_bytes(b"weights")
    install(
        agent.store,
        wanted("m", f"file://{agent.root}/m.zip", MODEL, strip_components=1, kind="model"),
        wanted("f", f"file://{agent.root}/f.bin", b"weights", format="file", kind="model"),
    )
    return agent


@pytest.fixture
def workspace(agent: Agent, user: int | None) -> Path:
    """A directory of the job's user."""
    path = agent.root / "workspace"
    path.mkdir()
    if user is not None:
        os.chown(path, user, user)
    return path


def in_use(agent: Agent) -> bool:
    """Tell whether removal of the model would be refused at this moment."""
    with Locks(Layout(str(agent.store))).removing(DIGEST) as possible:
        return not possible


def free_within(agent: Agent, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while in_use(agent):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_cache_link_holds_the_model_for_all_children_of_a_command(
    stocked: Agent, user: int | None, workspace: Path
) -> None:
    script = f"cat {workspace}/m/am/final.mdl | wc -c; (sleep 1; echo late) & echo $!"
    words = ("cache", "link", "m", "--into", str(workspace), "--", "sh", "-c", script)
    with stocked.start(*words, user=user) as process:
        assert first_line(process) == "200000"
        child = int(first_line(process))
        process.wait(30)
        assert in_use(stocked), "a child of the command still uses it"
        os.kill(child, signal.SIGKILL)
        assert free_within(stocked, 10)
    assert (workspace / "m").readlink() == stocked.store / "trees" / DIGEST


def test_cache_link_replaces_itself_by_the_command(stocked: Agent, user: int | None) -> None:
    with stocked.start("cache", "link", "m", "--", "sh", "-c", "echo $$; exit 9", user=user) as process:
        assert int(first_line(process)) == process.pid
        assert process.wait(30) == 9
    assert free_within(stocked, 0)


def test_cache_link_without_command_holds_until_the_caller_ends(
    stocked: Agent, user: int | None, workspace: Path
) -> None:
    script = f"{stocked.command} cache link m --into {workspace}; read end"
    with stocked.spawn("sh", "-c", script, user=user) as caller:
        assert first_line(caller) == f"{workspace}/m"
        assert in_use(stocked)
        listed = json.loads(stocked.run("cache", "list", "--json").stdout)["artifacts"]
        used = {artifact["name"]: artifact["in_use"] for artifact in listed}
        assert used["f"] is None
        assert used["m"].startswith("in use by process ")
        caller.kill()
        assert free_within(stocked, 10)


def test_cache_link_in_a_job_holds_until_the_worker_ends(stocked: Agent, user: int | None) -> None:
    """Each step of a job is a process; the worker above them stands for the job."""
    step = stocked.root / "step.sh"
    step.write_text(f"{stocked.command} cache link m --json | tr -d ' \\n'; echo\n")
    # The worker's name is that of its program, as the runner's is.
    worker = stocked.root / "Runner.Worker"
    worker.write_text(f"#!/bin/sh\nsh {step}\nread end\n")
    worker.chmod(0o755)
    with stocked.spawn(str(worker), user=user) as process:
        answer = json.loads(first_line(process))
        assert (answer["until_pid"], answer["until_name"]) == (process.pid, "Runner.Worker")
        assert answer["path"] == str(stocked.store / "trees" / DIGEST)
        assert in_use(stocked)
        holder = Path(f"/proc/{answer['holder_pid']}")
        assert (holder / "cwd").readlink() == Path("/")
        kept = {os.readlink(path) for path in (holder / "fd").iterdir()}
        assert kept == {
            *("/dev/null", "anon_inode:[pidfd]"),
            str(stocked.store / "locks" / f"{DIGEST}.mutate.lock"),
        }
        process.communicate("\n", timeout=30)
    assert free_within(stocked, 10)


def test_cache_link_holds_for_the_given_process(stocked: Agent, user: int | None) -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        stocked.run("cache", "link", "m", "--hold-pid", str(sleeper.pid), user=user)
        assert in_use(stocked)
        sleeper.kill()
        assert free_within(stocked, 10)
    gone = stocked.run("cache", "link", "m", "--hold-pid", str(sleeper.pid), user=user, status=3)
    assert "cannot be watched (No such process)" in gone.stderr
    assert free_within(stocked, 0)


def test_cache_link_links_a_single_file(stocked: Agent, user: int | None, workspace: Path) -> None:
    stocked.run("cache", "link", "f", "--into", str(workspace), user=user)
    assert (workspace / "f").read_bytes() == b"weights"


def test_cache_link_records_the_use_by_an_unprivileged_user(stocked: Agent, user: int | None) -> None:
    noted = stocked.store / "last_used" / DIGEST
    long_ago = time.time() - 1_000_000
    os.utime(noted, (long_ago, long_ago))
    stocked.run("cache", "link", "m", "--", "true", user=user)
    assert noted.stat().st_mtime > long_ago + 900_000


def test_cache_link_replaces_a_planted_link(stocked: Agent, user: int | None, workspace: Path) -> None:
    victim = stocked.root / "victim"
    victim.mkdir()
    (workspace / "m").symlink_to(victim)
    stocked.run("cache", "link", "m", "--into", str(workspace), "--", "true", user=user)
    assert (workspace / "m").readlink() == stocked.store / "trees" / DIGEST
    assert list(victim.iterdir()) == []


def test_cache_link_keeps_a_directory_in_its_place(stocked: Agent, user: int | None, workspace: Path) -> None:
    (workspace / "m").mkdir()
    done = stocked.run("cache", "link", "m", "--into", str(workspace), "--", "true", user=user, status=3)
    assert "something that is no symlink is in the way" in done.stderr
    assert (workspace / "m").is_dir()
    assert free_within(stocked, 0)


def test_cache_link_refuses_a_planted_parent_directory(
    stocked: Agent, user: int | None, workspace: Path
) -> None:
    shared = stocked.root / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "into").symlink_to(workspace)
    done = stocked.run("cache", "link", "m", "--into", f"{shared}/into", "--", "true", user=user, status=3)
    assert "is a link that others could have planted" in done.stderr
    assert not (workspace / "m").exists()


def test_cache_link_refuses_a_damaged_model(stocked: Agent, user: int | None, workspace: Path) -> None:
    (stocked.store / "trees" / DIGEST / "am" / "final.mdl").write_bytes(b"half")
    done = stocked.run("cache", "link", "m", "--into", str(workspace), "--", "true", user=user, status=2)
    assert "am/final.mdl has 4 bytes instead of 200000" in done.stderr
    assert not (workspace / "m").exists()


@pytest.mark.parametrize("name", ["x", "../refs/m", "M", ""])
def test_cache_link_lists_the_names_for_an_unknown_one(stocked: Agent, user: int | None, name: str) -> None:
    done = stocked.run("cache", "link", name, "--", "true", user=user, status=3)
    assert f"has no '{name}', but f, m; name one of these" in done.stderr


def test_cache_link_explains_a_wrong_call(stocked: Agent) -> None:
    both = stocked.run("cache", "link", "m", "--hold-pid", "1", "--", "true", status=2)
    assert "give either --hold-pid or a command" in both.stderr
    assert "no command after '--'" in stocked.run("cache", "link", "m", "--", status=2).stderr


def test_cache_list_prints_json_and_a_table(stocked: Agent, user: int | None) -> None:
    listed = json.loads(stocked.run("cache", "list", "--json", user=user).stdout)
    assert listed["store"] == str(stocked.store)
    assert [(artifact["name"], artifact["kind"], artifact["in_use"]) for artifact in listed["artifacts"]] == [
        ("f", "model", None),
        ("m", "model", None),
    ]
    lines = stocked.run("cache", "list", user=user).stdout.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "SIZE", "LAST", "USED", "SHA256"]
    assert lines[1].split()[:3] == ["f", "model", "7"]
    assert lines[2].endswith(DIGEST[:12])
    assert f" in {stocked.store}, " in lines[3]


def test_cache_list_shows_running_and_interrupted_downloads(stocked: Agent, user: int | None) -> None:
    path = stocked.store / "progress" / f"{'0' * 64}.json"
    later = [f"later-{number}" for number in range(7)]
    progress = Progress(str(path), "big", "https://example.org/big.zip", lambda: later)
    progress.report("download", 450_000_000, 1_800_000_000)
    last = stocked.run("cache", "list", user=user).stdout.splitlines()[-1]
    assert last.startswith("big: download 450 MB of 1.8 GB (25 %)")
    noted = json.loads(path.read_text())
    path.write_text(json.dumps({**noted, "bytes_per_second": 50_000_000}))
    rest = ", 50.0 MB/s, 27 s to go; next later-0, later-1, later-2, later-3, later-4 and 2 more\n"
    assert stocked.run("cache", "list").stdout.endswith(rest)
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    path.write_text(json.dumps({**noted, "pid": ended.pid}))
    assert "was interrupted at 450 MB" in stocked.run("cache", "list", user=user, status=1).stdout
    (flight,) = json.loads(stocked.run("cache", "list", "--json", status=1).stdout)["downloads"]
    assert flight["alive"] is False
    path.write_text("{")
    assert "big" not in stocked.run("cache", "list").stdout


def test_cache_reports_a_missing_store(agent: Agent) -> None:
    assert "There is no store at" in agent.run("cache", "list", status=3).stderr
    assert "There is no store at" in agent.run("cache", "link", "m", "--", "true", status=3).stderr


def test_cache_verify_repairs_a_damaged_tree(stocked: Agent, user: int | None) -> None:
    assert stocked.run("cache", "verify", user=user).stdout.startswith("2 sound, 0 damaged, ")
    damaged = stocked.store / "trees" / DIGEST / "am" / "final.mdl"
    status = damaged.stat()
    data = damaged.read_bytes()
    damaged.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))
    stocked.run("cache", "verify", user=user)
    damage = stocked.run("cache", "verify", "--full", user=user, status=2)
    assert "m: am/final.mdl has other bytes than were published; found" in damage.stdout
    answer = json.loads(stocked.run("cache", "verify", "--full", "--repair", "--json", status=1).stdout)
    assert [(tree["names"], tree["outcome"]) for tree in answer["corrupt"]] == [(["m"], "repaired")]
    assert damaged.read_bytes() == data
    stocked.run("cache", "verify", "--full", user=user)


def test_cache_collect_keeps_the_model_of_a_job(stocked: Agent, user: int | None) -> None:
    for noted in (stocked.store / "last_used").iterdir():
        os.utime(noted, (time.time() - 40 * 86400,) * 2)
    words = ("cache", "collect", "--keep-bytes", "1")
    with stocked.start("cache", "link", "m", "--", "sh", "-c", "echo in; read end", user=user) as job:
        assert first_line(job) == "in"
        predicted = stocked.run(*words, "--dry-run").stdout
        assert "would remove f (7 B): " in predicted
        assert (stocked.store / "refs/f.json").exists()
        answer = json.loads(stocked.run(*words, "--json").stdout)
        assert [item["names"] for item in answer["removed"]] == [["f"]]
        assert [item["names"] for item in answer["kept"]] == [["m"]]
        job.communicate("\n", timeout=30)
    assert "removed m" in stocked.run(*words).stdout
    assert list((stocked.store / "trees").iterdir()) == []


def test_cache_collect_needs_the_owner_of_the_store(stocked: Agent, user: int | None) -> None:
    if user is not None:
        done = stocked.run("cache", "collect", "--keep-bytes", "1", user=user, status=3)
        assert done.stderr
    assert "must not be below 0" in stocked.run("cache", "collect", "--keep-bytes", "-1", status=3).stderr
