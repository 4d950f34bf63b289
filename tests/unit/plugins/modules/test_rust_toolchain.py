"""The module with the real rustup and a real server; toolchains are stand-ins."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.host.flock import Flock
from ansible_collections.coldvox.ci.plugins.modules import rust_toolchain

from testbed.mirror import archives, pypi, rust_dist, rustup, stubs
from testbed.mirror.server import MirrorServer, mirror
from testbed.paths import CHECKOUT

RunModule = Callable[..., dict[str, Any]]
HOST = "x86_64-unknown-linux-gnu"
ARM = "aarch64-unknown-linux-gnu"
STABLE = f"stable-{HOST}"
MSRV = f"1.75.0-{HOST}"

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the pinned rustup is for x86_64")


def publish(www: Path, name: str, date: str, release: stubs.Release) -> None:
    channel = rust_dist.Channel(name, date, release.version, release.rustc, release.component)
    rust_dist.write_channel(www / "rust-dist", channel)


@pytest.fixture(scope="module")
def installer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("rustup") / "rustup-init"
    wheel = pypi.RUSTUP.fetch(CHECKOUT / ".testbed" / "cache")
    archives.extract_member(wheel, rustup.MEMBER, program, rustup.SHA256)
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    www = tmp_path_factory.mktemp("www")
    publish(www, "stable", "2024-02-08", stubs.STABLE)
    publish(www, "1.75.0", "2023-12-28", stubs.MSRV)
    return www


@pytest.fixture
def server(published: Path, tmp_path: Path) -> Iterator[MirrorServer]:
    shutil.copytree(published, tmp_path / "www")
    with mirror(tmp_path / "www") as running:
        yield running


@pytest.fixture
def keep(run_module: RunModule, server: MirrorServer, installer: Path, tmp_path: Path) -> RunModule:
    """Return the module with every option set but the toolchains."""
    return functools.partial(
        run_module,
        rust_toolchain.main,
        rustup_home=f"{tmp_path}/shared/rustup",
        cargo_home=f"{tmp_path}/shared/cargo",
        installer=str(installer),
        dist_server=f"{server.url}/rust-dist",
        _ansible_diff=True,
    )


WISH = [
    {"name": "stable", "components": ["rustfmt", "clippy"], "targets": [ARM], "default": True},
    {"name": "1.75.0"},
]


def test_rust_toolchain_installs_everything_then_changes_nothing(
    keep: RunModule, server: MirrorServer, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        predicted = keep(toolchains=WISH, check_mode=True)
        assert not (tmp_path / "shared").exists()
        done = keep(toolchains=WISH)
    finally:
        os.umask(before)
    assert predicted["installed"] == done["installed"] == ["rustup", STABLE, MSRV]
    assert f"component rustfmt of {STABLE}\n" in predicted["diff"][0]["after"]
    by_name = {toolchain["name"]: toolchain for toolchain in done["toolchains"]}
    assert by_name[STABLE]["default"]
    assert by_name[STABLE]["version"] == stubs.STABLE.version
    assert {"rustfmt", "clippy"} <= set(by_name[STABLE]["components"])
    assert by_name[STABLE]["targets"] == [ARM, HOST]
    assert by_name[MSRV]["version"] == "1.75.0"

    server.reset()
    again = keep(toolchains=WISH)
    assert (again["changed"], again["installed"], again["updated"]) == (False, [], [])
    assert again["diff"][0]["before"] == again["diff"][0]["after"]
    assert server.requests() == []


def test_rust_toolchain_can_be_run_by_another_user(keep: RunModule, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        keep(toolchains=[{"name": "stable"}])
    finally:
        os.umask(before)
    private = [
        path
        for path in (tmp_path / "shared").rglob("*")
        if not path.is_symlink() and not path.stat().st_mode & 0o004
    ]
    assert [path.name for path in private] == ["coldvox.lock"], "that one must not be a job's to hold"


def test_rust_toolchain_adds_components_and_targets_later(keep: RunModule) -> None:
    keep(toolchains=[{"name": "stable"}])
    done = keep(toolchains=[{"name": "stable", "components": ["rustfmt"], "targets": [ARM]}])
    assert (done["installed"], set(done["updated"])) == ([], {STABLE})
    [stable] = done["toolchains"]
    assert "rustfmt" in stable["components"]
    assert stable["targets"] == [ARM, HOST]


def test_rust_toolchain_latest_updates_channels_and_keeps_versions(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=WISH)
    newer = stubs.Release("1.99.0", "1.99.0 (x 2026-01-01)", "1.99.0", "1.99.0", "0.1.99")
    publish(tmp_path / "www", "stable", "2026-01-01", newer)
    assert keep(toolchains=WISH)["changed"] is False
    predicted = keep(toolchains=WISH, state="latest", check_mode=True)
    done = keep(toolchains=WISH, state="latest")
    assert predicted["updated"] == done["updated"] == [STABLE]
    versions = {toolchain["name"]: toolchain["version"] for toolchain in done["toolchains"]}
    assert versions == {STABLE: "1.99.0", MSRV: "1.75.0"}
    assert keep(toolchains=WISH, state="latest")["changed"] is False


def test_rust_toolchain_absent_removes_only_named_toolchains(keep: RunModule) -> None:
    keep(toolchains=WISH)
    done = keep(toolchains=[{"name": "1.75.0"}, {"name": "beta"}], state="absent")
    assert done["removed"] == [MSRV]
    assert [toolchain["name"] for toolchain in done["toolchains"]] == [STABLE]
    assert keep(toolchains=[{"name": "1.75.0"}], state="absent")["changed"] is False


def test_rust_toolchain_replaces_another_rustup(keep: RunModule, installer: Path, tmp_path: Path) -> None:
    keep(toolchains=[{"name": "stable"}])
    program = tmp_path / "shared/cargo/bin/rustup"
    with program.open("ab") as stream:
        stream.write(b"\0")
    assert keep(toolchains=[{"name": "stable"}])["updated"] == ["rustup"]
    assert program.read_bytes() == installer.read_bytes()


def test_rust_toolchain_repeats_an_interrupted_installation(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=[{"name": "stable"}])
    home = tmp_path / "shared/rustup/toolchains" / STABLE
    (home / "lib/rustlib/multirust-config.toml").unlink()
    (home / "bin/rustc").unlink()
    done = keep(toolchains=[{"name": "stable"}])
    assert done["installed"] == [STABLE]
    assert (home / "bin/rustc").exists()
    assert keep(toolchains=[{"name": "stable"}])["changed"] is False


LIB = "lib/rustlib"
LEFT = {"missing": None, "empty": b"", "of NUL bytes": bytes(5000)}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
@pytest.mark.parametrize(
    "path",
    [
        f"{LIB}/multirust-channel-manifest.toml",
        f"{LIB}/multirust-config.toml",
        f"{LIB}/components",
        f"{LIB}/rust-installer-version",
        f"{LIB}/manifest-rustc-{HOST}",
        f"{LIB}/{HOST}/lib/libstd-testbed.rlib",
        "bin/cargo",
    ],
)
def test_rust_toolchain_installs_a_damaged_toolchain_again(
    keep: RunModule, tmp_path: Path, path: str, left: bytes | None
) -> None:
    """rust-lang/rustup issue 4825: after a crash rustup fails, or does not see the damage."""
    wish = [{"name": "stable", "components": ["rustfmt"]}]
    keep(toolchains=[{"name": "stable"}])
    damaged = tmp_path / "shared/rustup/toolchains" / STABLE / path
    damaged.unlink()
    if left is not None:
        damaged.write_bytes(left)
    assert keep(toolchains=wish, check_mode=True, state="latest")["changed"]
    done = keep(toolchains=wish, state="latest")
    assert (done.get("msg"), done["installed"]) == (None, [STABLE])
    assert damaged.read_bytes().strip(b"\0")
    assert "rustfmt" in done["toolchains"][0]["components"]
    assert keep(toolchains=wish)["changed"] is False


def test_rust_toolchain_finds_other_bytes_with_full_verification(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=WISH)
    library = tmp_path / "shared/rustup/toolchains" / MSRV / f"{LIB}/{HOST}/lib/libstd-testbed.rlib"
    library.write_bytes(library.read_bytes()[:-1] + b"?")
    assert keep(toolchains=WISH)["changed"] is False, "only every byte shows it"
    assert keep(toolchains=WISH, verify="full")["installed"] == [MSRV]
    assert keep(toolchains=WISH, verify="full")["changed"] is False


def test_rust_toolchain_keeps_what_a_person_added(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=[{"name": "stable"}])
    # A component that another run adds is like one by hand: the first run does not name it.
    keep(toolchains=[{"name": "stable", "components": ["rustfmt"]}])
    shutil.rmtree(tmp_path / "shared/rust-checksums")
    keep(toolchains=[{"name": "stable"}])
    (tmp_path / "shared/rustup/toolchains" / STABLE / "bin/own").write_text("x")
    assert keep(toolchains=[{"name": "stable"}], verify="full")["changed"] is False


@pytest.mark.parametrize(
    "path", ["rustup/settings.toml", "cargo/bin/cargo", "cargo/bin/rustc", "cargo/.crates.toml"]
)
def test_rust_toolchain_repairs_records_and_proxies(keep: RunModule, tmp_path: Path, path: str) -> None:
    keep(toolchains=[{"name": "stable", "default": True}])
    damaged = tmp_path / "shared" / path
    if not path.endswith(".crates.toml"):
        damaged.unlink()
    damaged.write_bytes(bytes(4000))
    mended = keep(toolchains=[{"name": "stable", "default": True}], state="latest")
    assert mended.get("msg") is None
    if not path.endswith(".crates.toml"):
        assert mended["changed"]
        assert damaged.read_bytes().strip(b"\0")
    assert keep(toolchains=[{"name": "stable", "default": True}], state="latest")["changed"] is False


def test_rust_toolchain_ignores_the_environment_of_its_caller(
    keep: RunModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "RUSTUP_HOME": "/nonexistent",
        "RUSTUP_TOOLCHAIN": "nightly",
        "RUSTUP_DIST_SERVER": "http://127.0.0.1:1",
        "CARGO_HOME": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    assert keep(toolchains=[{"name": "stable"}])["installed"] == ["rustup", STABLE]


@pytest.mark.parametrize(
    ("toolchain", "said"),
    [
        ({"name": "stabel"}, "'stabel' is not a Rust toolchain"),
        ({"name": "1.99.0"}, "has no such toolchain, so correct its name"),
        ({"name": "stable", "components": ["miri"]}, "no such component for this host"),
        ({"name": "stable", "targets": ["nonsense-target"]}, "no such target"),
    ],
)
def test_rust_toolchain_reports_missing_parts_in_one_sentence(
    keep: RunModule, toolchain: dict[str, Any], said: str
) -> None:
    keep(toolchains=[{"name": "1.75.0"}])
    answer = keep(toolchains=[toolchain])
    assert answer["failed"]
    assert said in answer["msg"]
    assert "\n" not in answer["msg"]
    assert keep(toolchains=[{"name": "1.75.0"}])["changed"] is False


def test_rust_toolchain_installs_nothing_with_a_wrong_checksum(keep: RunModule, tmp_path: Path) -> None:
    keep(toolchains=[{"name": "stable"}])
    [tarball] = (tmp_path / "www/rust-dist/dist/2023-12-28").glob("rustc-*.tar.gz")
    good = tarball.read_bytes()
    tarball.write_bytes(good + b"tampered")
    answer = keep(toolchains=WISH)
    assert "does not have the published checksum" in answer["msg"]
    assert "expected: " in answer["msg"]
    assert not (tmp_path / "shared/rustup/toolchains" / MSRV).exists()
    tarball.write_bytes(good)
    assert MSRV in keep(toolchains=WISH)["installed"]


def test_rust_toolchain_needs_the_server_only_for_missing_parts(keep: RunModule) -> None:
    keep(toolchains=[{"name": "stable"}])
    dead = "http://127.0.0.1:1/rust-dist"
    assert keep(toolchains=[{"name": "stable"}], dist_server=dead)["changed"] is False
    answer = keep(toolchains=[{"name": "1.75.0"}], dist_server=dead)
    assert f"'{dead}' cannot be reached" in answer["msg"]
    assert "Connection refused" in answer["msg"]


def test_rust_toolchain_reports_a_missing_installer(keep: RunModule, tmp_path: Path) -> None:
    answer = keep(toolchains=[{"name": "stable"}], installer=f"{tmp_path}/nothing")
    assert "its installer" in answer["msg"]
    assert "is not on this host" in answer["msg"]


def test_rust_toolchain_runs_do_not_install_at_the_same_time(keep: RunModule, tmp_path: Path) -> None:
    lock = Flock(str(tmp_path / "shared/rustup/coldvox.lock"), mode=0o600)
    keep(toolchains=[{"name": "1.75.0"}])
    with lock:
        refused = keep(toolchains=[{"name": "stable"}], timeout_seconds=1)
        assert f"because process {os.getpid()} (" in refused["msg"]
        assert keep(toolchains=[{"name": "1.75.0"}])["changed"] is False, "nothing to do needs no lock"
    assert keep(toolchains=[{"name": "stable"}])["installed"] == [STABLE]
