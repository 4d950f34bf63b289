"""The toolchains of a job: the real rustup, as a job calls it, in a home that root made.

The commands are those of dtolnay/rust-toolchain, actions-rs/toolchain and the documentation of rustup.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.rust.homes import NAME, link_home
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from testbed.mirror import stubs
from testbed.mirror.server import MirrorServer
from testbed.paths import CHECKOUT
from tests._support.shared_rust import ARM, HOST, NEWER, STABLE, publish

RunModule = Callable[..., dict[str, Any]]
PROXY = "roles/rust_toolchains/templates/usr/local/lib/coldvox-ci"
NO_SERVER = "http://127.0.0.1:1"
ASK_THE_OWNER = "ask the owner of this runner to add it to rust_toolchains_toolchains.\n"
SHARED = [{"name": "stable", "components": ["rustfmt", "clippy"], "default": True}]

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the pinned rustup is for x86_64")


class Job:
    """A job's shell, whose programs are the links that the role makes."""

    def __init__(self, root: Path, home: Path, server: str) -> None:
        self.home = home
        self.server = server
        self._shared = root / "shared"
        self._bin = root / "bin"
        self._bin.mkdir()
        environment = Environment(
            loader=FileSystemLoader(CHECKOUT / PROXY), undefined=StrictUndefined, autoescape=False
        )
        environment.filters["comment"] = "# {}".format
        proxy = root / "rust-proxy"
        proxy.write_text(
            environment.get_template("rust-proxy.j2").render(
                ansible_managed="kept by Ansible",
                __rust_toolchains_rustup_home=str(self._shared / "rustup"),
                __rust_toolchains_cargo_home=str(self._shared / "cargo"),
                rust_toolchains_dist_server=server,
            )
        )
        proxy.chmod(0o755)
        for name in ("rustup", "rustc", "cargo", "rustfmt"):
            (self._bin / name).symlink_to(proxy)

    def renew(self) -> None:
        """Give the job the toolchains as root does before each job."""
        if self.home.exists():
            shutil.rmtree(self.home)
        self.home.mkdir()
        link_home(str(self._shared / "rustup"), str(self.home / NAME), (os.getuid(), os.getgid()))

    def run(self, command: str, online: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{self._bin}:/usr/bin:/bin", "HOME": str(self.home), "CI": "true"}
        if not online:
            environment["RUSTUP_DIST_SERVER"] = NO_SERVER
        return subprocess.run(
            ["bash", "-e", "-c", command],
            env=environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )

    def must(self, command: str, online: bool = True) -> str:
        done = self.run(command, online)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def job(keep: RunModule, server: MirrorServer, tmp_path: Path) -> Job:
    keep(toolchains=SHARED)
    job = Job(tmp_path, tmp_path / "home", f"{server.url}/rust-dist")
    job.renew()
    server.reset()
    return job


def contents(root: Path) -> dict[str, tuple[int, str]]:
    """Return mode and digest of every file below ``root``."""
    return {
        str(path.relative_to(root)): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in root.resolve().rglob("*")
        if path.is_file()
    }


def shared(root: Path) -> dict[str, tuple[int, str]]:
    return contents((root / "shared/rustup").resolve())


ACTION = (
    "export RUSTUP_PERMIT_COPY_RENAME=1; rustup toolchain install {} --profile minimal --no-self-update {}"
)


@pytest.mark.parametrize(
    "command",
    [
        ACTION.format("stable", "--force-non-host"),
        ACTION.format("stable --component rustfmt --component clippy", ""),
        ACTION.format(f"stable --target {HOST} --component rustfmt,clippy", "--force-non-host"),
        ACTION.format(f"stable -t {HOST} -c rustfmt -c=clippy", "--allow-downgrade"),
        "rustup install stable",
        "rustup toolchain add stable --component=rustfmt",
        "rustup component add rustfmt clippy --toolchain stable",
        f"rustup target add {HOST}",
        "rustup set profile minimal; rustup override set stable; rustup show",
        "echo stable > rust-toolchain; rustup toolchain install; rustup show active-toolchain",
    ],
)
def test_what_the_host_has_needs_no_server(
    job: Job, server: MirrorServer, tmp_path: Path, command: str
) -> None:
    before = shared(tmp_path)
    job.must(command, online=False)
    job.must("rustup default stable --force-non-host", online=False)
    assert f"release: {stubs.STABLE.version}" in job.must("rustc +stable --version --verbose", online=False)
    assert job.must("cargo --version", online=False) == f"cargo {stubs.STABLE.cargo}\n"
    assert server.requests() == []
    assert shared(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "present"),
    [
        (ACTION.format(f"stable --target {ARM} --component rust-src", ""), f"lib/rustlib/{ARM}"),
        (ACTION.format(f"stable --target={ARM},{HOST}", ""), f"lib/rustlib/{ARM}"),
        ("rustup component add rust-src", "lib/rustlib/src"),
        (f"rustup target add {ARM} --toolchain stable", f"lib/rustlib/{ARM}"),
        (
            f"""printf '[toolchain]\\nchannel = "stable"\\ntargets = ["{ARM}"]\\n' > rust-toolchain.toml
            cargo --version""",
            f"lib/rustlib/{ARM}",
        ),
    ],
)
def test_missing_part_is_for_this_job_alone(job: Job, tmp_path: Path, command: str, present: str) -> None:
    before = shared(tmp_path)
    job.must(command)
    toolchain = job.home / NAME / "toolchains" / STABLE
    assert (toolchain / present).exists()
    assert f"release: {stubs.STABLE.version}" in job.must("rustc +stable --version --verbose")
    assert shared(tmp_path) == before
    job.renew()
    assert not (toolchain / present).exists()


@pytest.mark.parametrize(
    "command",
    [
        ACTION.format("1.75.0 --component rustfmt", "") + "; rustup default 1.75.0",
        "echo 1.75.0 > rust-toolchain",
        "printf '[toolchain]\\nchannel = \"1.75.0\"\\n' > rust-toolchain.toml",
    ],
)
def test_missing_toolchain_is_for_this_job_alone(job: Job, tmp_path: Path, command: str) -> None:
    before = shared(tmp_path)
    job.must(command)
    assert job.must("rustc --version") == f"rustc {stubs.MSRV.rustc}\n"
    assert shared(tmp_path) == before
    job.renew()
    assert job.must("rustup toolchain list", online=False).split()[0] == STABLE


@pytest.mark.parametrize(
    "command",
    [
        ACTION.format("1.75.0", ""),
        ACTION.format(f"stable --target {ARM}", ""),
        "rustup component add rust-src",
        f"rustup target add {ARM}",
        "rustup default 1.75.0",
    ],
)
def test_what_cannot_be_installed_says_what_to_ask_for(job: Job, server: MirrorServer, command: str) -> None:
    server.set_faults([{"path_regex": "/dist/", "kind": "html"}])
    done = job.run(command)
    assert done.returncode == 1
    assert done.stderr.endswith(ASK_THE_OWNER), done.stderr
    assert job.must("rustc +stable --version") == f"rustc {stubs.STABLE.rustc}\n"


def test_another_version_may_have_the_part(job: Job, tmp_path: Path) -> None:
    """An action for nightly asks for a component that today's nightly may lack."""
    rustlib = job.home / NAME / "toolchains" / STABLE / "lib/rustlib"
    manifest = rustlib / "multirust-channel-manifest.toml"
    manifest.write_text(manifest.read_text().replace("rust-src", "rust-sources"))
    publish(tmp_path / "www", "stable", "2026-01-01", NEWER)
    job.must(ACTION.format("stable --component rust-src", ""))
    assert job.must("rustc --version") == f"rustc {NEWER.rustc}\n"
    assert (rustlib / "src").exists()


def test_update_by_the_job_is_for_this_job_alone(job: Job, tmp_path: Path) -> None:
    before = shared(tmp_path)
    publish(tmp_path / "www", "stable", "2026-01-01", NEWER)
    job.must("rustup update stable")
    assert job.must("rustc --version") == f"rustc {NEWER.rustc}\n"
    assert shared(tmp_path) == before


def test_update_by_root_changes_no_file_of_a_running_job(job: Job, keep: RunModule, tmp_path: Path) -> None:
    tree = (tmp_path / "shared/rustup").resolve()
    before, published = contents(job.home / NAME), contents(tree)
    publish(tmp_path / "www", "stable", "2026-01-01", NEWER)
    assert keep(toolchains=SHARED, state="latest")["updated"] == [STABLE]
    assert contents(job.home / NAME) == before
    assert contents(tree) == published, "a shell of another user may still run programs there"
    assert job.must("rustc --version", online=False) == f"rustc {stubs.STABLE.rustc}\n"
    assert keep(toolchains=SHARED, state="latest")["changed"] is False
    assert keep(toolchains=[{"name": "stable", "components": ["rust-src"]}])["changed"]
    assert not tree.exists(), "the next change removes it"
    assert contents(job.home / NAME) == before
    job.renew()
    assert job.must("rustc --version", online=False) == f"rustc {NEWER.rustc}\n"


@pytest.mark.usefixtures("job")
def test_failed_update_leaves_the_published_tree(keep: RunModule, tmp_path: Path) -> None:
    tree, before = (tmp_path / "shared/rustup").resolve(), shared(tmp_path)
    publish(tmp_path / "www", "stable", "2026-01-01", NEWER)
    for tarball in (tmp_path / "www/rust-dist/dist/2026-01-01").glob("rustfmt-*.tar.gz"):
        tarball.write_bytes(b"damaged")
    assert keep(toolchains=SHARED, state="latest")["failed"]
    assert (tmp_path / "shared/rustup").resolve() == tree
    assert shared(tmp_path) == before
    assert [path for path in tree.parent.iterdir() if path.is_dir()] == [tree]


@pytest.mark.usefixtures("job")
def test_directory_of_an_older_version_becomes_a_link(keep: RunModule, tmp_path: Path) -> None:
    home = tmp_path / "shared/rustup"
    tree = home.resolve()
    home.unlink()
    tree.rename(home)
    assert keep(toolchains=SHARED)["changed"] is False
    keep(toolchains=[{"name": "stable", "components": ["rust-src"]}])
    assert home.is_symlink()
    assert keep(toolchains=SHARED)["changed"] is False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")
def test_job_cannot_write_what_it_shares(keep: RunModule, server: MirrorServer, reachable: Path) -> None:
    """The kernel refuses each way to change a linked file; the job's own names are its own."""
    keep(
        toolchains=SHARED,
        rustup_home=f"{reachable}/shared/rustup",
        cargo_home=f"{reachable}/shared/cargo",
    )
    home, nobody = reachable / "home", 65534
    home.mkdir()
    link_home(str(reachable / "shared/rustup"), str(home / NAME), (nobody, nobody))
    os.chown(home, nobody, nobody)
    job = Job(reachable, home, f"{server.url}/rust-dist")
    before = shared(reachable)
    rustc = home / NAME / "toolchains" / STABLE / "bin/rustc"
    as_job: dict[str, Any] = {"user": nobody, "group": nobody, "extra_groups": []}
    for command in ("echo x >>", "chmod u+w", "touch -d 2000-01-01", "truncate -s 0"):
        assert job.run(f"{command} {rustc}", **as_job).returncode != 0, command
    done = job.run(f"mv {rustc} {rustc}.old; echo mine > {rustc}; rustup component add rust-src", **as_job)
    assert done.returncode == 0, done.stderr
    assert rustc.read_text() == "mine\n"
    assert shared(reachable) == before


def test_other_users_run_the_shared_toolchains(job: Job) -> None:
    shutil.rmtree(job.home / NAME)
    assert job.must("rustc --version", online=False) == f"rustc {stubs.STABLE.rustc}\n"
    missing = job.run("rustc +1.75.0 --version")
    assert missing.returncode == 1
    assert "is not installed" in missing.stderr


def test_job_with_a_home_of_its_own_keeps_it(job: Job) -> None:
    own = f"RUSTUP_HOME={job.home}/own"
    job.must(f"{own} rustup toolchain install 1.75.0")
    assert job.must(f"{own} rustc --version") == f"rustc {stubs.MSRV.rustc}\n"


def test_documentation_is_a_single_link(job: Job, tmp_path: Path) -> None:
    """Upstream's manifest of rust-docs has the line ``dir:share/doc/rust/html`` for 50,000 files."""
    toolchain = (tmp_path / "shared/rustup/toolchains").resolve() / STABLE
    (toolchain / "share/doc/rust/html/std").mkdir(parents=True)
    (toolchain / "lib/rustlib/manifest-rust-docs").write_text("dir:share/doc/rust/html\n")
    job.renew()
    linked = job.home / NAME / "toolchains" / STABLE / "share/doc/rust/html"
    assert linked.readlink() == toolchain / "share/doc/rust/html"
