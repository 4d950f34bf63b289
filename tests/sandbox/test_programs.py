"""Real programs as jobs of a real unit, by profile."""

from __future__ import annotations

import base64
import functools
import shlex
from collections.abc import Callable

import pytest

from tests._support.workshop import ACCOUNT, TUN, Workshop

CARGO = """
cargo new --quiet --vcs none probe && cd probe
echo '#[test] fn works() { assert_eq!(6 * 7, 42); }' >> src/main.rs
cargo build --quiet --offline && cargo test --quiet --offline && ./target/debug/probe | grep -q Hello
"""
GDB = """
echo 'int main(int count, char **words) { return !words; }' > main.c && gcc -g main.c -o main
for turn in 1 2; do
    gdb -batch -ex 'break main' -ex run -ex 'print &words' -ex continue ./main
done > log 2>&1
! grep -i 'error' log && test $(grep '^[$]1 = ' log | sort -u | wc -l) = 1
"""
VENV = """
python3 -m venv env
python3 - <<END
import zipfile
with zipfile.ZipFile("probe-1-py3-none-any.whl", "w") as wheel:
    wheel.writestr("probe.py", "print('installed')")
    wheel.writestr("probe-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: probe\\nVersion: 1\\n")
    wheel.writestr("probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
    wheel.writestr("probe-1.dist-info/RECORD", "")
END
env/bin/pip install --quiet --no-index ./probe-1-py3-none-any.whl
env/bin/python -m probe | grep -q installed
"""
XVFB = """
Xvfb :99 -nolisten tcp -noreset & server=$!
n=0; until DISPLAY=:99 xdpyinfo > log 2>&1; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
kill $server; grep -q 'name of display: *:99' log
"""
ROOTLESS = """
mkdir -p image/bin && cp /bin/busybox image/bin/
tar -C image -c . | podman import --quiet - tiny >/dev/null
podman run --rm {options} tiny /bin/busybox cat /proc/self/uid_map
"""
#: The programs that every profile must run.
COMMON = {
    "gcc": "echo 'int main(void) { return 42; }' > a.c && gcc a.c -o a; ./a || test $? = 42",
    "git": "git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty -m x",
    "node": "node -e 'if (new Function(\"return 6 * 7\")() !== 42) process.exit(1)'",
    "cargo": CARGO,
    "python with venv and pip": VENV,
    "shared memory": """python3 - <<END
from multiprocessing import Pool, shared_memory
shared_memory.SharedMemory(create=True, size=10**6).unlink()
Pool(2).map(abs, range(9))
END""",
    "a terminal": "script -qec 'test -t 0' /dev/null",
}
#: Programs that trace others, ask for fixed addresses, or read more of /proc than processes.
TRACING = {
    "gdb": GDB,
    "setarch -R": "setarch -R true",
    "the processors in node": "node -e 'process.exit(require(\"os\").cpus().length ? 0 : 1)'",
    "Xvfb": XVFB,
}
TABLE = {
    "strict": COMMON,
    "build": {**COMMON, **TRACING, "nice": "nice true"},
    "desktop": {**COMMON, **TRACING},
    "containers": {
        **COMMON,
        "podman without a network": ROOTLESS.format(options="--network=none"),
        **({"podman with a network": ROOTLESS.format(options="")} if TUN.exists() else {}),
    },
}
#: What a profile refuses, as the documentation says, and how the program reports it.
REFUSED = {
    "strict": {
        "fixed addresses": ("setarch -R true", "Operation not permitted"),
        "Xvfb": ("timeout 20 Xvfb :99 -nolisten tcp", "Failed to activate virtual core keyboard"),
        "chown": ("touch a && chown $(id -u) a", "Operation not permitted"),
        "debuggers": (
            "gdb -batch -ex run /bin/true 2>&1 | tee log; ! grep -i 'not permitted' log",
            "not permitted",
        ),
    },
    "build": {
        "setgid directories": ("mkdir d && chmod g+s d", "Operation not permitted"),
        "user namespaces": ("unshare --user true", "Operation not permitted"),
        "sudo": ("sudo -n true", "no new privileges"),
        "another processor": ("taskset --cpu-list 0 true", "Operation not permitted"),
        "logger": ("logger --socket-errors=on text", "No such file"),
    },
    "desktop": {
        "homes": ("ls /home/admin", "Permission denied"),
        "the kernel's log": ("cat /dev/kmsg", "No such file"),
    },
    "containers": {
        "sudo": ("sudo -n true", "Read-only file system"),
        "files of root": ("touch /var/lib/coldvox-ci/x", "Read-only file system"),
    },
}
CASES = [(profile, name) for profile, programs in TABLE.items() for name in programs]
REFUSALS = [(profile, name) for profile, scripts in REFUSED.items() for name in scripts]


@pytest.fixture(scope="module")
def results(running_host: Workshop) -> Callable[[str], dict[str, tuple[int, str]]]:
    """Return a function that runs all scripts of a profile in one job.

    The function returns exit status and output by name.
    """

    @functools.cache
    def run(profile: str) -> dict[str, tuple[int, str]]:
        scripts = {**TABLE[profile], **{name: script for name, (script, _) in REFUSED[profile].items()}}
        parts = [
            f"mkdir ~/{number} && cd ~/{number} || exit\n"
            f"sh -ec {shlex.quote(script)} > ~/output 2>&1 < /dev/null\n"
            f"echo $? $(base64 --wrap=0 ~/output)\n"
            for number, script in enumerate(scripts.values())
        ]
        done = running_host.job("".join(parts), profile)
        running_host.forget_job()
        lines = [line.split(" ") for line in done.output.splitlines()]
        assert len(lines) == len(scripts), done.output
        return {
            name: (int(status), base64.b64decode("".join(text)).decode(errors="replace"))
            for name, (status, *text) in zip(scripts, lines, strict=True)
        }

    return run


@pytest.mark.parametrize(("profile", "name"), CASES, ids=[": ".join(case) for case in CASES])
def test_program_runs(results: Callable[[str], dict[str, tuple[int, str]]], profile: str, name: str) -> None:
    status, output = results(profile)[name]
    assert status == 0, output[-3000:]


@pytest.mark.parametrize(("profile", "name"), REFUSALS, ids=[": ".join(case) for case in REFUSALS])
def test_call_is_refused(
    results: Callable[[str], dict[str, tuple[int, str]]], profile: str, name: str
) -> None:
    _script, message = REFUSED[profile][name]
    status, output = results(profile)[name]
    assert status != 0, output
    assert message in output


def test_desktop_job_reaches_the_x_server_of_another_account(host: Workshop) -> None:
    host.must("systemd-run --quiet --collect --unit=live Xvfb :0 -nolisten tcp -nolisten local -ac; sleep 2")
    try:
        ask = "DISPLAY=:0 xdpyinfo > /dev/null"
        assert host.job(ask, "desktop").status == 0
        assert host.job(ask, "build").status != 0
        planted = host.job("touch /tmp/.X11-unix/planted", "desktop")
        assert planted.status != 0
    finally:
        host.must("systemctl stop live")


def test_podman_leaves_nothing_behind(host: Workshop) -> None:
    before = host.must("ls /run")
    assert host.job(f"cd; {ROOTLESS.format(options='--network=none')}", "containers").status == 0
    assert host.must("ls /run") == before
    assert host.root(f"pgrep -u {ACCOUNT}").status != 0
