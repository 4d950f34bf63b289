"""Plan the steps from the installed to the wanted state of Rust. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ..errors import CiError

# rustup's own grammar (rustup book, "Toolchains"): channel, optional date, optional host triple.
_NAME = re.compile(
    r"(?P<channel>(?:stable|beta|nightly|\d+\.\d+(?:\.\d+)?(?:-beta(?:\.\d+)?)?)(?:-\d{4}-\d{2}-\d{2})?)"
    r"(?:-(?P<triple>[a-z0-9_]+(?:-[a-z0-9_]+){1,3}))?"
)
_MOVING = re.compile(r"(?:stable|beta|nightly)(?!-\d{4})")
_UPDATE = re.compile(r"^(\S+) - update available", re.MULTILINE | re.IGNORECASE)


class RustError(CiError):
    """Rust cannot be brought to the wanted state."""


@dataclass(frozen=True)
class Toolchain:
    """One wanted toolchain; ``name`` is complete with its host triple."""

    name: str
    profile: str = "minimal"
    components: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    default: bool = False


@dataclass(frozen=True)
class Wanted:
    """The wanted state.

    ``tools`` maps a crate to its version; an empty text means any version.
    """

    toolchains: tuple[Toolchain, ...]
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def default(self) -> Optional[str]:
        """The toolchain that must be the default, or None."""
        return next((toolchain.name for toolchain in self.toolchains if toolchain.default), None)


@dataclass(frozen=True)
class Installed:
    """One toolchain on the host.

    ``complete`` is false after an interrupted installation.
    """

    version: str
    components: frozenset[str]
    targets: frozenset[str]
    complete: bool = True


@dataclass(frozen=True)
class State:
    """The installed state.

    ``rustup`` is missing, other (than the given installer) or current.
    """

    rustup: str
    host: str
    default: Optional[str]
    toolchains: Mapping[str, Installed]
    tools: Mapping[str, str]

    def is_complete(self, name: str) -> bool:
        """Return whether the toolchain ``name`` is installed and whole."""
        return name in self.toolchains and self.toolchains[name].complete


@dataclass(frozen=True)
class Step:
    """One program to run: ``program`` is installer, rustup or cargo.

    ``installs``, ``updates`` and ``removes`` are the names for the lists of the result; ``adds`` and
    ``drops`` are the lines by which the described state changes.
    """

    program: str
    argv: tuple[str, ...]
    title: str
    installs: Optional[str] = None
    updates: Optional[str] = None
    removes: Optional[str] = None
    adds: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()


def full_name(name: str, host: str) -> str:
    """Return ``name`` with the host triple that rustup would add.

    Raises RustError for a bad name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise RustError(
            f"'{name}' is not a Rust toolchain; use stable, beta, nightly, a version such as 1.75.0, "
            "or a dated channel such as nightly-2024-02-10."
        )
    return name if match["triple"] else f"{name}-{host}"


def wanted_from(
    toolchains: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], host: str
) -> Wanted:
    """Build Wanted from the module's lists.

    Raises RustError for a bad name, a repeated name and a second default.
    """
    built = tuple(
        Toolchain(
            name=full_name(str(raw["name"]), host),
            profile=raw.get("profile") or "minimal",
            components=tuple(raw.get("components") or ()),
            targets=tuple(raw.get("targets") or ()),
            default=bool(raw.get("default")),
        )
        for raw in toolchains
    )
    names = [toolchain.name for toolchain in built]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RustError(f"The toolchain '{twice[0]}' is listed more than once; keep one of them.")
    defaults = [toolchain.name for toolchain in built if toolchain.default]
    if len(defaults) > 1:
        raise RustError(f"Only one toolchain can be the default, not {' and '.join(defaults)}; choose one.")
    return Wanted(built, {str(raw["name"]): str(raw.get("version") or "") for raw in tools})


def parse_settings(text: str) -> dict[str, str]:
    """Return the plain keys above the first table of rustup's ``settings.toml``."""
    head = text.split("\n[", 1)[0]
    return dict(re.findall(r'^(\w+) = "([^"]*)"$', head, flags=re.MULTILINE))


def plain_component(name: str, triple: str) -> str:
    """Return a component as people name it.

    Without ``-preview`` and without the triple.
    """
    if name.endswith(f"-{triple}"):
        name = name[: -len(triple) - 1]
    return name[: -len("-preview")] if name.endswith("-preview") else name


def parse_components(text: str, triple: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return (components, targets) from the text of ``lib/rustlib/components``.

    A name per line.
    """
    components, targets = set(), set()
    for name in text.split():
        if name.startswith("rust-std-"):
            targets.add(name[len("rust-std-") :])
        else:
            components.add(plain_component(name, triple))
    return frozenset(components), frozenset(targets)


def parse_version(manifest: str) -> str:
    """Return the compiler's version from a channel manifest, or an empty text."""
    match = re.search(r'^\[pkg\.rustc\]\nversion = "(\S+)', manifest, flags=re.MULTILINE)
    return match[1] if match else ""


def parse_updates(check: str) -> frozenset[str]:
    """Return the toolchains for which ``rustup check`` reports an update."""
    return frozenset(_UPDATE.findall(check))


def describe(state: State) -> frozenset[str]:
    """Return the state as lines for a diff, one line for each value that can differ."""
    lines = {f"tool {name} {version}" for name, version in state.tools.items()}
    if state.rustup != "missing":
        lines.add("rustup" if state.rustup == "current" else "rustup (another version)")
    if state.default:
        lines.add(f"default {state.default}")
    for name, installed in state.toolchains.items():
        lines.add(
            _toolchain_line(name, installed.version) if installed.complete else f"toolchain {name} (broken)"
        )
        lines |= {f"component {component} of {name}" for component in installed.components}
        lines |= {f"target {target} of {name}" for target in installed.targets}
    return frozenset(lines)


def predicted(state: State, steps: Sequence[Step]) -> frozenset[str]:
    """Return the lines that ``describe`` would give after ``steps``."""
    lines = describe(state)
    for step in steps:
        lines = (lines - step.drops) | step.adds
    return lines


def _toolchain_line(name: str, version: str) -> str:
    return f"toolchain {name} {version}".rstrip()


def plan(wanted: Wanted, state: State, updates: frozenset[str] = frozenset()) -> list[Step]:
    """Return the steps from ``state`` to ``wanted``.

    ``updates`` names toolchains that can be newer.
    """
    steps = [*_plan_rustup(state)]
    for toolchain in wanted.toolchains:
        steps += _plan_toolchain(toolchain, state.toolchains.get(toolchain.name), toolchain.name in updates)
    if wanted.default and wanted.default != state.default:
        drops = frozenset({f"default {state.default}"} if state.default else ())
        steps.append(
            Step(
                "rustup",
                ("default", wanted.default),
                f"making {wanted.default} the default toolchain",
                adds=frozenset({f"default {wanted.default}"}),
                drops=drops,
            )
        )
    return steps + _plan_tools(wanted, state)


def _plan_rustup(state: State) -> list[Step]:
    if state.rustup == "current":
        return []
    argv = ("-y", "--no-modify-path", "--default-toolchain", "none", "--no-update-default-toolchain")
    return [
        Step(
            "installer",
            argv,
            "installing rustup",
            installs="rustup" if state.rustup == "missing" else None,
            updates="rustup" if state.rustup == "other" else None,
            adds=frozenset({"rustup"}),
            drops=frozenset({"rustup (another version)"}),
        )
    ]


def _plan_toolchain(wanted: Toolchain, present: Optional[Installed], update: bool) -> list[Step]:
    name = wanted.name
    if present is None:
        return [_install(wanted)]
    if not present.complete:
        return [
            Step(
                "rustup",
                ("toolchain", "uninstall", name),
                f"clearing the broken toolchain {name}",
                drops=frozenset({f"toolchain {name} (broken)"}),
            ),
            _install(wanted),
        ]
    steps = []
    if update:
        argv = ("toolchain", "install", name, "--no-self-update")
        drops = frozenset({_toolchain_line(name, present.version)})
        adds = frozenset({f"toolchain {name} (newer)"})
        steps.append(Step("rustup", argv, f"updating toolchain {name}", updates=name, adds=adds, drops=drops))
    triple = triple_of(name)
    components = [c for c in wanted.components if plain_component(c, triple) not in present.components]
    targets = [target for target in wanted.targets if target not in present.targets]
    for kind, missing in (("component", components), ("target", targets)):
        if missing:
            steps.append(
                Step(
                    "rustup",
                    (kind, "add", "--toolchain", name, *missing),
                    f"adding {kind} {' '.join(missing)} to toolchain {name}",
                    updates=None if update else name,
                    adds=frozenset(f"{kind} {plain_component(item, triple)} of {name}" for item in missing),
                )
            )
    return steps


def _install(wanted: Toolchain) -> Step:
    argv = ["toolchain", "install", wanted.name, "--profile", wanted.profile, "--no-self-update"]
    for component in wanted.components:
        argv += ["--component", component]
    for target in wanted.targets:
        argv += ["--target", target]
    adds = {f"toolchain {wanted.name}"}
    adds |= {
        f"component {plain_component(c, triple_of(wanted.name))} of {wanted.name}" for c in wanted.components
    }
    adds |= {f"target {target} of {wanted.name}" for target in wanted.targets}
    title = f"installing toolchain {wanted.name}"
    return Step("rustup", tuple(argv), title, installs=wanted.name, adds=frozenset(adds))


def _plan_tools(wanted: Wanted, state: State) -> list[Step]:
    steps = []
    for name, version in wanted.tools.items():
        present = state.tools.get(name)
        if present is not None and version in ("", present):
            continue
        pinned = ("--version", f"={version}") if version else ()
        steps.append(
            Step(
                "cargo",
                # A program without a record, after a crash, is in the way otherwise.
                ("install", name, *pinned, "--locked", "--force"),
                f"installing the cargo tool {name} {version}".rstrip(),
                installs=name if present is None else None,
                updates=None if present is None else name,
                adds=frozenset({f"tool {name} {version}".rstrip()}),
                drops=frozenset({f"tool {name} {present}"} if present else ()),
            )
        )
    return steps


def plan_removal(wanted: Wanted, state: State) -> list[Step]:
    """Return the steps that remove the installed part of ``wanted``."""
    steps = [
        Step("cargo", ("uninstall", name), f"removing the cargo tool {name}", removes=name)
        for name in wanted.tools
        if name in state.tools
    ]
    for toolchain in wanted.toolchains:
        if toolchain.name in state.toolchains:
            name = toolchain.name
            title = f"removing toolchain {name}"
            drops = frozenset(line for line in describe(state) if name in line.split())
            steps.append(Step("rustup", ("toolchain", "uninstall", name), title, removes=name, drops=drops))
    return steps


def triple_of(name: str) -> str:
    """Return the host triple at the end of a complete toolchain name."""
    match = _NAME.fullmatch(name)
    return (match["triple"] or "") if match else ""


def moves(name: str) -> bool:
    """Return whether toolchain ``name`` follows a channel and can have updates."""
    return _MOVING.match(name) is not None
