"""Two controllers at once, and a controller that a person interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests._support.fault_server import FaultServer, install, model_zip, sha256, wanted

MODEL = model_zip("controller", 400_000)


def play(server: FaultServer, root: Path) -> subprocess.Popen[bytes]:
    """Start a playbook that installs the model in the store ``root`` of this machine."""
    item = {"name": "m", "kind": "model", "url": server.url + "/m.zip", "sha256": sha256(MODEL)}
    task = {"coldvox.ci.artifact": {"store": str(root), "artifacts": [{**item, "strip_components": 1}]}}
    playbook = root.parent / "play.yml"
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    command = [
        *(str(Path(sys.executable).parent / "ansible-playbook"), str(playbook)),
        *("--inventory", "here,", "--connection", "local"),
        *("--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable})),
    ]
    collections = next(path for path in sys.path if "coldvox-collections-" in path)
    # Run outside the checkout, because its ansible.cfg is for real hosts.
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": collections,
        "ANSIBLE_HOME": str(root.parent / "a"),
    }
    return subprocess.Popen(
        command,
        cwd=root.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def test_playbooks_install_the_same_artifact_at_the_same_time(server: FaultServer, root: Path) -> None:
    server.serve("/m.zip", MODEL, rate=300_000)
    both = [play(server, root), play(server, root)]
    outputs = [process.communicate(timeout=120)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert server.count("/m.zip") == 1


def test_playbook_leaves_a_whole_store_after_control_c(server: FaultServer, root: Path) -> None:
    server.serve("/m.zip", MODEL, rate=100_000)
    process = play(server, root)
    deadline = time.monotonic() + 60
    while not server.count("/m.zip") and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=60)
    assert process.returncode != 0
    server.serve("/m.zip", MODEL)
    report = install(root, wanted("m", server.url + "/m.zip", MODEL, kind="model", strip_components=1))
    # Ansible leaves the module running, so the module may still publish.
    assert report.results[0].outcome in ("fetched", "linked", "hit")
    assert sorted(path.name for path in (root / "models").iterdir()) == ["m"]
