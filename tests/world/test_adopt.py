"""A runner installed by hand on the laptop is taken over by adopt.yml, and gets its name back.

The runner is installed as GitHub's page says: its own archive, config.sh and svc.sh, a real unit of systemd.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import textwrap
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.github.client import AdminClient

from .conftest import WORLD, Outcome, Play

HOST, NAME, PERSON = "laptop-extra", "laptop-extra-old", "coldaine"
HOME = f"/home/{PERSON}"
ROOT = f"{HOME}/actions-runner"
PAGE = "Coldaine/ColdVox"
KEYS = ".runner .credentials .credentials_rsaparams"
LABELS = ["by-hand"]
ARCHIVE = "actions/runner/releases/download/v2.336.0/actions-runner-linux-x64-2.336.0.tar.gz"
MODEL, UNPACKED = "vosk-model-by-hand", "vosk-model-unpacked"
#: A port of the testbed's address that is closed: an archive can only come from the laptop itself.
CLOSED = f"http://{WORLD.gateway}:9"
WHO = "id -un; pwd"
Shell = Callable[..., str]

INSTALL = f"""
    set -e
    useradd --create-home {PERSON}
    mkdir {ROOT}
    curl -fsS {WORLD.mirror_url}/{ARCHIVE} | tar -xz -C {ROOT}
    chown -R {PERSON}: {ROOT}
    cd {ROOT}
    read token
    runuser -u {PERSON} -- env HOME={HOME} ./config.sh --unattended --url {WORLD.emulator_url}/{PAGE} \\
        --token "$token" --name {NAME} --labels fedora,nobara,by-hand >&2
    ./svc.sh install {PERSON} >&2
    ./svc.sh start >&2
    cat .service
"""
UNINSTALL = f"""
    cd {ROOT} && ./svc.sh uninstall >&2
    userdel --force --remove {PERSON}
    rm -f /var/lib/coldvox-ci/by_hand/{NAME}.json
"""
FORGET = """
- hosts: laptop-extra
  become: true
  gather_facts: false
  tasks:
    - coldvox.ci.artifact:
        artifacts: [{name: vosk-model-by-hand}]
        state: absent
"""


def api(github: AdminClient, method: str, path: str) -> Any:
    request = urllib.request.Request(
        f"{github.url}/api/v3/repos/Coldaine/ColdVox/actions/runners{path}",
        headers={"Authorization": "Bearer sandbox-admin-token"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or "null")


def at_github(github: AdminClient) -> dict[str, Any]:
    runners = [each for each in api(github, "GET", "?per_page=100")["runners"] if each["name"] == NAME]
    return dict(runners[0]) if runners else {"status": "gone", "id": None}


def model_archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("am/final.mdl", "conf/model.conf", "README"):
            archive.writestr(f"{MODEL}/{name}", f"{name} of a model that only this laptop has\n" * 100)
    return packed.getvalue()


DATA = model_archive()


def model(name: str, sha256: str) -> dict[str, str]:
    return {"name": name, "url": f"{CLOSED}/{name}.zip", "sha256": sha256}


def variables(*models: dict[str, str], **more: Any) -> str:
    pool = [{"name": NAME, "labels": LABELS, "resource_class": "light"}]
    return json.dumps({"github_runner_instances": pool, "vosk_models_models": list(models), **more})


def adopt(play: Play, *arguments: str, models: tuple[dict[str, str], ...] = (), **more: Any) -> Outcome:
    given = models or (model(MODEL, hashlib.sha256(DATA).hexdigest()),)
    return play("-l", HOST, "-e", variables(*given, **more), *arguments, playbook="adopt.yml")


def converge(play: Play, *arguments: str) -> Outcome:
    return play("-l", HOST, "--tags", "github_runner", *arguments)


def job_log(github: AdminClient, number: int) -> str:
    done = github.wait_for_job(number, timeout_seconds=60)
    assert done["conclusion"] == "success", done
    return str(done["log"])


@pytest.fixture
def unit(shell: Shell, github: AdminClient, play: Play, tmp_path: Path) -> Iterator[str]:
    """Install the runner by hand, yield its unit, and leave the laptop as it was."""
    token = api(github, "POST", "/registration-token")["token"]
    yield shell(textwrap.dedent(INSTALL), stdin=token + "\n").strip()
    github.set_faults()
    gone = json.dumps({"github_runner_instances": [{"name": NAME, "state": "absent"}]})
    shell(textwrap.dedent(UNINSTALL))
    removed = converge(play, "-e", gone)
    number = at_github(github)["id"]
    if number:
        api(github, "DELETE", f"/{number}")
    restored = converge(play)
    (tmp_path / "forget.yml").write_text(FORGET)
    forgotten = play(playbook=str(tmp_path / "forget.yml"))
    for outcome in (removed, restored, forgotten):
        assert outcome.status == 0, outcome.output[-4000:]


def state(shell: Shell, unit: str) -> list[str]:
    return shell(f"systemctl is-active {unit}; systemctl is-enabled {unit}; true").split()


def keys(shell: Shell) -> list[str]:
    return shell(f"cd {ROOT}; ls {KEYS} 2>/dev/null || true").split()


def test_runner_installed_by_hand_is_taken_over_and_goes_back(
    play: Play, shell: Shell, github: AdminClient, unit: str
) -> None:
    assert unit.startswith("actions.runner.")
    assert f"{PERSON}\n" in job_log(github, github.queue_job(LABELS, WHO))
    cache = f"{HOME}/ActionRunnerCache/vosk-models"
    shell(
        f"mkdir -p {cache}/{UNPACKED}/am; base64 -d > {cache}/model.zip",
        stdin=base64.b64encode(DATA).decode(),
    )

    # The converge recognizes it.
    refused = converge(play, "-e", variables())
    assert refused.status != 0
    assert f"'{NAME}' was installed by hand on this very host, at '{ROOT}' ({unit})" in refused.sentence
    assert "adopt.yml" in refused.sentence
    other = converge(play)
    assert other.status == 0, other.output[-4000:]
    assert f"Runner '{NAME}' was installed by hand on this host, at '{ROOT}'" in other.sentence

    # A dry run says what would happen, and nothing does.
    models = (
        model(MODEL, hashlib.sha256(DATA).hexdigest()),
        model(UNPACKED, hashlib.sha256(b"x").hexdigest()),
    )
    dry = adopt(play, "--check", models=models)
    assert dry.status == 0, dry.output[-4000:]
    assert f"register '{NAME}' for the pool with fedora, nobara, by-hand" in dry.sentence
    assert f"disable {unit} and remove key and registration from '{ROOT}'" in dry.sentence
    assert f"the directory '{cache}/{UNPACKED}' may be an unpacked one" in dry.sentence
    assert "cannot be checked against the checksum of the archive" in dry.sentence
    assert state(shell, unit) == ["active", "enabled"]
    assert keys(shell) == sorted(KEYS.split())
    assert (
        shell(f"ls -d /var/lib/actions-runner/{NAME} /var/lib/coldvox-ci/by_hand 2>/dev/null || true") == ""
    )

    # The job of the old runner ends first.
    running = github.queue_job(LABELS, f"{WHO}; sleep 40; echo went on to the end")
    github.wait_for_job(running, status="in_progress")
    done = adopt(play)
    assert done.status == 0, done.output[-4000:]
    log = job_log(github, running)
    assert "went on to the end" in log
    assert f"{PERSON}\n" in log
    assert state(shell, unit) == ["inactive", "disabled"]
    assert keys(shell) == []
    assert at_github(github)["status"] == "online"
    log = job_log(github, github.queue_job([*LABELS, "nobara"], WHO))
    assert f"ci-{NAME}\n" in log
    assert f"/var/lib/actions-runner/{NAME}" in log
    assert "am/final.mdl of a model" in shell(f"cat /var/cache/coldvox-ci/models/{MODEL}/am/final.mdl")
    assert shell(f"sha256sum < {cache}/model.zip").split()[0] == hashlib.sha256(DATA).hexdigest()
    assert adopt(play).changed == {HOST: 0}
    after = converge(play, "-e", variables())
    assert after.changed == {HOST: 0}, after.output[-4000:]
    assert "by hand" not in after.output

    # The way back.
    back = adopt(play, "-e", "adopt_back=true")
    assert back.status == 0, back.output[-4000:]
    assert state(shell, unit) == ["active", "enabled"]
    assert keys(shell) == sorted(KEYS.split())
    assert f"{PERSON}\n" in job_log(github, github.queue_job([*LABELS, "nobara"], WHO))
    assert shell(f"ls -d /var/lib/actions-runner/{NAME} 2>/dev/null || true") == ""
    assert adopt(play, "-e", "adopt_back=true").changed == {HOST: 0}


def test_failed_takeover_leaves_the_old_runner_at_work(
    play: Play, shell: Shell, github: AdminClient, unit: str
) -> None:
    before = at_github(github)
    github.set_faults({"path_regex": "/actions/runners/register$", "status": 500, "times": None})
    failed = adopt(play, models=(model(UNPACKED, hashlib.sha256(b"x").hexdigest()),), vosk_models_models=[])
    github.set_faults()
    assert failed.status != 0
    assert "and the old runners work as before" in failed.sentence
    assert "could not be registered" in failed.sentence
    assert state(shell, unit) == ["active", "enabled"]
    assert keys(shell) == sorted(KEYS.split())
    assert at_github(github)["id"] == before["id"]
    assert f"{PERSON}\n" in job_log(github, github.queue_job([*LABELS, "nobara"], WHO))
