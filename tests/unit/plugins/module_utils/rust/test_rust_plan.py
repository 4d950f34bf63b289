from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.rust import plan
from ansible_collections.coldvox.ci.plugins.module_utils.rust.host import host_triple
from ansible_collections.coldvox.ci.plugins.module_utils.rust.plan import Installed, State

HOST = "x86_64-unknown-linux-gnu"
ARM = "aarch64-unknown-linux-gnu"
STABLE = f"stable-{HOST}"


def state(**changes: Any) -> State:
    stable = Installed("1.76.0", frozenset({"rustc", "cargo", "clippy"}), frozenset({HOST}))
    values: dict[str, Any] = {
        "rustup": "current",
        "host": HOST,
        "default": STABLE,
        "toolchains": {STABLE: stable},
        "tools": {"cargo-audit": "0.20.1"},
    }
    return State(**{**values, **changes})


def wanted(*toolchains: dict[str, Any], tools: Any = ()) -> plan.Wanted:
    return plan.wanted_from(toolchains, tools, HOST)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("stable", STABLE),
        ("1.75.0", f"1.75.0-{HOST}"),
        ("1.75", f"1.75-{HOST}"),
        ("nightly-2024-02-10", f"nightly-2024-02-10-{HOST}"),
        ("1.80.0-beta.2", f"1.80.0-beta.2-{HOST}"),
        (f"beta-{ARM}", f"beta-{ARM}"),
        (f"nightly-2024-02-10-{ARM}", f"nightly-2024-02-10-{ARM}"),
    ],
)
def test_full_name_adds_the_host_triple_once(name: str, full: str) -> None:
    assert plan.full_name(name, HOST) == full
    assert plan.full_name(full, HOST) == full


@pytest.mark.parametrize("name", ["stabel", "", "1.75.0.1", "--default", "stable; rm", "../x"])
def test_full_name_refuses_a_bad_name(name: str) -> None:
    with pytest.raises(plan.RustError, match="is not a Rust toolchain; use stable"):
        plan.full_name(name, HOST)


@pytest.mark.parametrize(
    ("toolchains", "said"),
    [
        ([{"name": "stable"}, {"name": STABLE}], "more than once"),
        ([{"name": "stable", "default": True}, {"name": "beta", "default": True}], "Only one toolchain"),
    ],
)
def test_wanted_from_refuses_contradictions(toolchains: Any, said: str) -> None:
    with pytest.raises(plan.RustError, match=said):
        wanted(*toolchains)


def test_plain_component_is_the_name_that_people_use() -> None:
    listing = (
        f"cargo-{HOST}\nclippy-preview-{HOST}\nrust-std-{ARM}\nrust-std-{HOST}\nrust-src\nrustc-{HOST}\n"
    )
    components, targets = plan.parse_components(listing, HOST)
    assert components == {"cargo", "clippy", "rust-src", "rustc"}
    assert targets == {HOST, ARM}


def test_parse_functions_read_files_of_rustup_and_cargo() -> None:
    settings = (
        f'version = "12"\ndefault_toolchain = "{STABLE}"\nprofile = "minimal"\n\n[overrides]\nx = "y"\n'
    )
    assert plan.parse_settings(settings) == {
        "version": "12",
        "default_toolchain": STABLE,
        "profile": "minimal",
    }
    manifest = '[pkg.cargo]\nversion = "0.76.0"\n[pkg.rustc]\nversion = "1.76.0 (07dca489a 2024-02-04)"\n'
    assert plan.parse_version(manifest) == "1.76.0"
    check = f"{STABLE} - update available: 1.76.0 (x) -> 1.77.0 (y)\nbeta-{HOST} - up to date: 1.78.0\n"
    assert plan.parse_updates(check) == {STABLE}
    assert plan.parse_updates(check.replace("update a", "Update a")) == {STABLE}


def test_plan_is_empty_if_nothing_is_missing() -> None:
    goal = wanted(
        {"name": "stable", "components": ["clippy-preview"], "targets": [HOST], "default": True},
        tools=[{"name": "cargo-audit"}],
    )
    assert plan.plan(goal, state()) == []


def test_plan_adds_only_missing_parts() -> None:
    goal = wanted(
        {"name": "stable", "components": ["clippy", "rustfmt"], "targets": [ARM]},
        {"name": "1.75.0", "profile": "minimal", "components": ["clippy"], "default": True},
        tools=[{"name": "cargo-audit", "version": "0.21.2"}, {"name": "cargo-deny"}],
    )
    steps = plan.plan(goal, state())
    msrv = f"1.75.0-{HOST}"
    assert [(step.program, *step.argv) for step in steps] == [
        ("rustup", "component", "add", "--toolchain", STABLE, "rustfmt"),
        ("rustup", "target", "add", "--toolchain", STABLE, ARM),
        (
            *("rustup", "toolchain", "install", msrv, "--profile", "minimal", "--no-self-update"),
            *("--component", "clippy"),
        ),
        ("rustup", "default", msrv),
        ("cargo", "install", "cargo-audit", "--version", "=0.21.2", "--locked", "--force"),
        ("cargo", "install", "cargo-deny", "--locked", "--force"),
    ]
    assert [step.installs for step in steps if step.installs] == [msrv, "cargo-deny"]


def test_plan_uninstalls_a_broken_toolchain_first() -> None:
    broken = {STABLE: Installed("", frozenset({"rustc"}), frozenset(), complete=False)}
    steps = plan.plan(wanted({"name": "stable"}), state(toolchains=broken))
    assert [step.argv[:2] for step in steps] == [("toolchain", "uninstall"), ("toolchain", "install")]


@pytest.mark.parametrize(("rustup", "count"), [("missing", 1), ("other", 1), ("current", 0)])
def test_plan_installs_rustup_first(rustup: str, count: int) -> None:
    steps = plan.plan(wanted(), state(rustup=rustup))
    assert [step.program for step in steps] == ["installer"] * count


def test_plan_removal_names_only_installed_parts() -> None:
    goal = wanted(
        {"name": "stable"}, {"name": "beta"}, tools=[{"name": "cargo-audit"}, {"name": "cargo-deny"}]
    )
    assert [step.removes for step in plan.plan_removal(goal, state())] == ["cargo-audit", STABLE]


def test_predicted_equals_the_state_after_the_steps() -> None:
    goal = wanted({"name": "stable", "components": ["rustfmt"]}, {"name": "beta", "default": True})
    lines = plan.describe(state())
    for step in plan.plan(goal, state()):
        lines = (lines - step.drops) | step.adds
    assert f"component rustfmt of {STABLE}" in lines
    assert f"default beta-{HOST}" in lines
    assert f"default {STABLE}" not in lines


@pytest.mark.parametrize(
    ("name", "moving"),
    [("stable", True), (f"beta-{HOST}", True), ("nightly-2024-02-10", False), ("1.75.0", False)],
)
def test_moves_only_for_channels(name: str, moving: bool) -> None:
    assert plan.moves(name) is moving


def test_host_triple_of_machines() -> None:
    assert host_triple("x86_64") == HOST
    assert host_triple("armv7l") == "armv7-unknown-linux-gnueabihf"
    # rust-lang/rustup issue 3307: a 32-bit userland under a 64-bit kernel.
    assert host_triple("aarch64", bits=32) == "armv7-unknown-linux-gnueabihf"
    assert host_triple("x86_64", bits=32) == "i686-unknown-linux-gnu"
