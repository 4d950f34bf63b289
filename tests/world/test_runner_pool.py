"""The laptop's pool under changes and accidents: jobs and registrations survive."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from testbed.github.client import AdminClient

from .conftest import WORLD, Play

HOST, NAME = "laptop-extra", "laptop-extra-lint"
UNIT = f"coldvox-runner@{NAME}.service"
LABELS = ["fedora", "nobara", "fast-lint"]
TOKEN = "sandbox-admin-token"
PLACES = "/etc /var /opt /run /root /home /srv /tmp /usr/local /dev/shm"
# Each prints the places of a line of its standard input. The second value is a line that it must find.
SEARCHES = {
    "files": (f"grep -rlaF -f - {PLACES} 2>/dev/null || true", "root:x:0:0:"),
    "journal": ("exec 3<&0; journalctl --no-pager -qa | grep -aF -f /dev/fd/3 || true", "Started "),
    "processes": ("grep -laF -f - /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null || true", "PATH="),
}
POOL = {HOST, f"{HOST}-test", NAME}
Shell = Callable[..., str]


def converge(play: Play, *arguments: str, **variables: Any) -> dict[str, int]:
    """Run the role on the laptop and return the number of changes."""
    more = ("-e", json.dumps(variables)) if variables else ()
    outcome = play("-l", HOST, "--tags", "github_runner", *more, *arguments)
    assert outcome.status == 0, outcome.output[-4000:]
    return outcome.changed


def minted(github: AdminClient) -> int:
    return sum(entry["path"].endswith("registration-token") for entry in github.audit())


def started_at(shell: Shell, unit: str = UNIT) -> str:
    return shell(f"systemctl show -p ExecMainStartTimestampMonotonic {unit}")


def ask(github: AdminClient, path: str, method: str = "GET", body: Any = None) -> Any:
    """Call the REST API of the laptop's repository."""
    request = urllib.request.Request(
        f"{github.url}/api/v3/repos/Coldaine/ColdVox/actions/{path}",
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or "null")


def registered(github: AdminClient) -> dict[str, dict[str, Any]]:
    """Return the laptop's runners by name; a name that appears twice is an error."""
    listed = ask(github, "runners?per_page=100")["runners"]
    listed = [runner for runner in listed if runner["name"].startswith(HOST)]
    assert len({runner["name"] for runner in listed}) == len(listed)
    return {runner["name"]: runner for runner in listed}


def online(github: AdminClient) -> set[str]:
    return {name for name, runner in registered(github).items() if runner["status"] == "online"}


def listens(shell: Shell, name: str) -> bool:
    """Return whether the listener has connected since its unit started last."""
    unit = f"coldvox-runner@{name}"
    start = f"$(systemctl show -p InvocationID --value {unit})"
    return "Listening for Jobs" in shell(f"journalctl -o cat _SYSTEMD_INVOCATION_ID={start}")


def until(condition: Callable[[], bool], seconds: float = 150) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.5)


@pytest.fixture
def restored(play: Play) -> Iterator[None]:
    """Restore the pool of the inventory after a test with other variables."""
    yield
    converge(play)


def power_cycle(shell: Shell) -> None:
    """Cut the laptop's power and start it again."""
    container = WORLD.container(HOST)
    for command in ("kill", "start"):
        subprocess.run(["docker", command, container], check=True, capture_output=True)
    deadline = time.monotonic() + 90
    while not is_up(shell):
        assert time.monotonic() < deadline, "the host does not come up again"
        time.sleep(1)


def is_up(shell: Shell) -> bool:
    try:
        shell("systemctl is-system-running --wait >/dev/null || true")
    except AssertionError:
        return False
    return True


def test_runner_pool_converges_three_times_without_a_change(play: Play, github: AdminClient) -> None:
    before = minted(github)
    for _ in range(3):
        assert converge(play) == {HOST: 0}
    assert minted(github) == before


@pytest.mark.usefixtures("restored")
def test_runner_labels_change_without_a_restart(play: Play, shell: Shell, github: AdminClient) -> None:
    before = started_at(shell)
    assert converge(play, github_runner_labels=["fedora", "nobara", "new"]) == {HOST: 1}
    assert "new" in {label["name"] for label in registered(github)[NAME]["labels"]}
    assert started_at(shell) == before


@pytest.mark.usefixtures("restored")
def test_runner_environment_changes_after_the_job(play: Play, shell: Shell, github: AdminClient) -> None:
    before = started_at(shell)
    job = github.queue_job(LABELS, "sleep 15; echo went on to the end")
    github.wait_for_job(job, status="in_progress")
    assert converge(play, github_runner_environment={"CHANGED": "1"}) == {HOST: 1}
    done = github.job(job)
    assert (done["status"], done["conclusion"]) == ("completed", "success"), done
    assert "went on to the end" in done["log"]
    assert started_at(shell) != before
    assert online(github) == POOL
    assert "CHANGED=1" in shell(f"cat /var/lib/actions-runner/{NAME}/.env")


@pytest.mark.usefixtures("restored")
def test_runner_drain_timeout_leaves_the_job_running(play: Play, shell: Shell, github: AdminClient) -> None:
    sign = f"/var/lib/actions-runner/{NAME}/may-end"
    job = github.queue_job(LABELS, f"until [ -e {sign} ]; do sleep 1; done")
    github.wait_for_job(job, status="in_progress")
    variables = {"github_runner_environment": {"CHANGED": "2"}, "github_runner_drain_timeout_seconds": 2}
    outcome = play("-l", HOST, "--tags", "github_runner_pool", "-e", json.dumps(variables))
    assert outcome.status != 0
    assert f"'{NAME}' still runs a job after 2 s" in outcome.sentence
    labels = {label["name"] for label in registered(github)[NAME]["labels"]}
    assert set(LABELS) <= labels, "they are back"
    shell(f"touch {sign}")
    done = github.wait_for_job(job)
    assert done["conclusion"] == "success", done


def test_runner_listener_restarts_after_a_kill(play: Play, shell: Shell, github: AdminClient) -> None:
    before = minted(github)
    shell(f"systemctl kill -s KILL {UNIT}")
    assert set(converge(play)) == {HOST}
    # GitHub refuses the new listener until the session of the killed one has ended.
    until(lambda: online(github) == POOL)
    assert minted(github) == before


def test_runner_registration_is_single_after_a_killed_controller(
    play: Play, shell: Shell, github: AdminClient
) -> None:
    converge(play, github_runner_state="absent")
    assert registered(github) == {}
    first = partial(until, lambda: bool(registered(github)))
    cut = play("-l", HOST, "--tags", "github_runner", interrupt_at="pool | Register", kill_when=first)
    assert "PLAY RECAP" not in cut.output
    # The module goes on without its controller, and a converge refuses to work next to it.
    until(lambda: not shell("pgrep -f '[B]ECOME-SUCCESS' || true"))
    converge(play)
    assert set(registered(github)) == POOL
    assert converge(play) == {HOST: 0}


def test_runner_pool_returns_after_a_power_cut(play: Play, shell: Shell, github: AdminClient) -> None:
    before, numbers = minted(github), {runner["id"] for runner in registered(github).values()}
    power_cycle(shell)
    converge(play)
    # GitHub reports them online until their sessions from before the cut end.
    until(lambda: all(listens(shell, name) for name in POOL))
    assert online(github) == POOL
    assert {runner["id"] for runner in registered(github).values()} == numbers
    assert minted(github) == before


def test_runner_deleted_at_github_is_registered_again(play: Play, github: AdminClient) -> None:
    ask(github, f"runners/{registered(github)[NAME]['id']}", method="DELETE")
    assert converge(play) == {HOST: 1}
    until(lambda: online(github) == POOL)


def test_runner_pool_is_unchanged_while_github_is_down(play: Play, shell: Shell, github: AdminClient) -> None:
    before = started_at(shell)
    github.set_faults({"path_regex": "/actions/runners", "status": 503, "times": None})
    try:
        outcome = play("-l", HOST, "--tags", "github_runner_pool")
    finally:
        github.set_faults()
    assert outcome.status != 0
    assert "HTTP 503" in outcome.sentence
    assert "Traceback" not in outcome.output
    assert started_at(shell) == before


def test_runner_name_of_another_host_is_refused(play: Play, github: AdminClient) -> None:
    stranger = {"name": "stranger", "runner_group_id": 1, "labels": ["x"]}
    number = ask(github, "runners/generate-jitconfig", "POST", stranger)["runner"]["id"]
    variables = {"github_runner_instances": [{"name": "stranger"}], "github_runner_replace": "never"}
    outcome = play("-l", HOST, "--tags", "github_runner_pool", "-e", json.dumps(variables))
    ask(github, f"runners/{number}", "DELETE")
    assert outcome.status != 0
    assert "'stranger' is taken by another registration" in outcome.sentence


def app_sign_in(github: AdminClient) -> tuple[dict[str, Any], list[str]]:
    """Install a new App on the laptop's repository.

    Return the variables for it, and the lines of its key.
    """
    key = generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    app = {"id": 4711, "installation_id": 99, "permissions": {"administration": "write"}}
    github.call("POST", "/apps", {**app, "public_key": public})
    variables = {"github_runner_token": "", "github_runner_app_id": "4711", "github_runner_app_key": private}
    return variables, private.splitlines()[1:-2]  # the last line may be as short as a word


def kind_of(token: str) -> str:
    if token.startswith("ghs_"):
        return "installation"
    return "assertion" if token.count(".") == 2 else "runner"


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("credential", "kinds"), [("token", {"runner"}), ("app", {"runner", "installation", "assertion"})]
)
def test_runner_secrets_are_not_left_anywhere(
    play: Play, shell: Shell, github: AdminClient, tmp_path: Path, credential: str, kinds: set[str]
) -> None:
    converge(play, github_runner_state="absent")
    before = github.issued_tokens()
    variables, secrets = app_sign_in(github) if credential == "app" else ({}, [TOKEN])
    credential_file = tmp_path / "credential.json"
    credential_file.write_text(json.dumps(variables))
    outcome = play("-l", HOST, "--tags", "github_runner", "-vvv", "-e", f"@{credential_file}")
    assert outcome.status == 0, outcome.output[-4000:]
    assert online(github) == POOL
    spent = [token for token in github.issued_tokens() if token not in before]
    assert {kind_of(token) for token in spent} == kinds
    output = "".join(outcome.output.split())
    assert [secret for secret in [*secrets, *spent] if secret in output] == []
    for search, there in SEARCHES.values():
        # Use standard input, because sudo logs arguments, and /proc shows them.
        assert shell(search, stdin=there) != ""
        assert shell(search, stdin="\n".join([*secrets, *spent])) == ""


def test_runner_pool_drains_and_returns(play: Play, github: AdminClient) -> None:
    job = github.queue_job(LABELS, "sleep 10; echo went on to the end")
    github.wait_for_job(job, status="in_progress")
    drained = play("-l", HOST, playbook="drain.yml")
    assert drained.status == 0, drained.output[-4000:]
    assert github.job(job)["conclusion"] == "success"
    assert online(github) == set()
    assert set(registered(github)) == POOL
    assert play("-l", HOST, playbook="drain.yml").changed == {HOST: 0}
    converge(play)
    assert online(github) == POOL


def test_remove_playbook_needs_the_name_of_the_host(play: Play, github: AdminClient) -> None:
    for arguments in ((), ("-e", "coldvox_remove=debian-builder")):
        refused = play("-l", HOST, *arguments, playbook="remove.yml")
        assert refused.status != 0
        assert f"-e coldvox_remove={HOST}" in refused.sentence
    assert online(github) == POOL


def test_remove_playbook_takes_everything_and_site_restores_it(
    play: Play, shell: Shell, github: AdminClient
) -> None:
    removed = play("-l", HOST, "-e", f"coldvox_remove={HOST}", playbook="remove.yml")
    assert removed.status == 0, removed.output[-4000:]
    assert registered(github) == {}
    places = "/etc/systemd/system/*coldvox* /etc/sysusers.d/coldvox* /etc/tmpfiles.d/coldvox* /opt/coldvox-ci"
    assert shell(f"ls -d {places} 2>/dev/null || true") == ""
    assert shell("ls -d /var/lib/actions-runner 2>/dev/null || true") == ""
    assert shell("getent passwd | grep -c '^ci-' || true").strip() == "0"
    outcome = play("-l", HOST)
    assert outcome.status == 0, outcome.output[-4000:]
    assert online(github) == POOL
