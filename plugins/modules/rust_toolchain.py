#!/usr/bin/python
# Copyright: coldvox.ci contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rust_toolchain
short_description: Keep shared Rust toolchains, their components and cargo tools
version_added: 0.1.0
description:
  - Reads the installed toolchains from rustup's own files, then runs rustup and cargo only for missing parts.
    On a host that has everything it needs no network and starts no program.
  - rustup itself comes from O(installer), a verified C(rustup-init), and never updates itself.
  - Both programs run in a clean environment that inherits only the proxy settings.
author: coldvox.ci contributors (@Coldaine)
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
    details:
      - With O(state=latest) rustup asks the server for updates in check mode too.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  toolchains:
    description: The toolchains to keep.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: A channel, version or dated channel, such as V(stable), V(1.75.0), V(nightly-2024-02-10).
        type: str
        required: true
      profile:
        description: The rustup profile. It applies when the toolchain is installed, not later.
        type: str
        choices: [minimal, default, complete]
        default: minimal
      components:
        description: Components to keep, such as V(rustfmt) and V(clippy). Others stay unchanged.
        type: list
        elements: str
        default: []
      targets:
        description: Targets to keep in addition to the host's own. Others stay unchanged.
        type: list
        elements: str
        default: []
      default:
        description: Whether this is the default toolchain. At most one toolchain can be.
        type: bool
        default: false
  tools:
    description: Programs to install with C(cargo install) and the default toolchain.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the crate.
        type: str
        required: true
      version:
        description: The exact version. By default any version is enough, and the newest is installed.
        type: str
        default: ""
  installer:
    description:
      - Path of a verified C(rustup-init) on the host. rustup is installed if it is missing or differs.
      - Without this option, rustup must already be installed.
    type: path
  rustup_home:
    description: Directory of the toolchains.
    type: path
    default: /var/lib/coldvox-ci/rustup
  cargo_home:
    description: Directory whose C(bin) gets rustup, its proxies and the cargo tools.
    type: path
    default: /var/lib/coldvox-ci/cargo
  dist_server:
    description: URL of the server of the toolchains.
    type: str
    default: https://static.rust-lang.org
  verify:
    description:
      - V(quick) checks that each file of a component is there, and that programs and records are not empty.
      - V(full) reads every byte of the toolchains, and compares it with the checksums that were kept after
        the installation. What is damaged is installed again.
    type: str
    choices: [quick, full]
    default: quick
  timeout_seconds:
    description: The longest that a single call of rustup or cargo may take.
    type: int
    default: 1800
  state:
    description:
      - V(present) installs missing toolchains, components and tools.
      - V(latest) also updates the channels in O(toolchains); exact versions do not change.
      - V(absent) removes O(toolchains) and O(tools).
    type: str
    choices: [present, latest, absent]
    default: present
"""

EXAMPLES = r"""
- name: Toolchains | Keep stable and the minimum supported version
  coldvox.ci.rust_toolchain:
    installer: /opt/rustup/rustup-init
    toolchains:
      - name: stable
        components: [rustfmt, clippy]
        default: true
      - name: "1.75.0"
    tools:
      - name: cargo-nextest
        version: 0.9.92

- name: Toolchains | Update the channels
  coldvox.ci.rust_toolchain:
    toolchains:
      - name: stable
      - name: beta
    state: latest
"""

RETURN = r"""
toolchains:
  description: All toolchains on the host.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name, with the host triple.
      type: str
      sample: stable-x86_64-unknown-linux-gnu
    version:
      description: The version of its compiler; empty for a linked toolchain.
      type: str
      sample: 1.76.0
    components:
      description: Its components.
      type: list
      elements: str
    targets:
      description: Its targets.
      type: list
      elements: str
    default:
      description: Whether it is the default.
      type: bool
tools:
  description: The cargo tools on the host and their versions.
  returned: success
  type: dict
  sample: {cargo-nextest: 0.9.92}
installed:
  description: The toolchains and tools that were installed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [1.75.0-x86_64-unknown-linux-gnu]
updated:
  description: The toolchains that were updated or extended, or in check mode would be.
  returned: success
  type: list
  elements: str
removed:
  description: The toolchains and tools that were removed, or in check mode would be.
  returned: success
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.coldvox.ci.plugins.module_utils.errors import CiError
from ansible_collections.coldvox.ci.plugins.module_utils.host.process import run
from ansible_collections.coldvox.ci.plugins.module_utils.rust import plan
from ansible_collections.coldvox.ci.plugins.module_utils.rust.host import RustHost

TOOLCHAIN_OPTIONS = {
    "name": {"type": "str", "required": True},
    "profile": {"type": "str", "choices": ["minimal", "default", "complete"], "default": "minimal"},
    "components": {"type": "list", "elements": "str", "default": []},
    "targets": {"type": "list", "elements": "str", "default": []},
    "default": {"type": "bool", "default": False},
}
TOOL_OPTIONS = {"name": {"type": "str", "required": True}, "version": {"type": "str", "default": ""}}
ARGUMENT_SPEC = {
    "toolchains": {"type": "list", "elements": "dict", "default": [], "options": TOOLCHAIN_OPTIONS},
    "tools": {"type": "list", "elements": "dict", "default": [], "options": TOOL_OPTIONS},
    "installer": {"type": "path"},
    "rustup_home": {"type": "path", "default": "/var/lib/coldvox-ci/rustup"},
    "cargo_home": {"type": "path", "default": "/var/lib/coldvox-ci/cargo"},
    "dist_server": {"type": "str", "default": "https://static.rust-lang.org"},
    "verify": {"type": "str", "choices": ["quick", "full"], "default": "quick"},
    "timeout_seconds": {"type": "int", "default": 1800},
    "state": {"type": "str", "choices": ["present", "latest", "absent"], "default": "present"},
}


def steps_for(
    params: dict[str, Any], host: RustHost, state: plan.State
) -> tuple[plan.Wanted, list[plan.Step]]:
    """Return the wanted installation and the steps to it."""
    wanted = plan.wanted_from(params["toolchains"], params["tools"], state.host)
    if params["state"] == "absent":
        return wanted, plan.plan_removal(wanted, state)
    updates: frozenset[str] = frozenset()
    if params["state"] == "latest" and state.rustup != "missing":
        installed = [chain.name for chain in wanted.toolchains if chain.name in state.toolchains]
        # rustup fails at a broken toolchain. What is installed again is new.
        if all(state.is_complete(name) for name in installed):
            updates = host.updates(installed)
    return wanted, plan.plan(wanted, state, updates)


def shown(state: plan.State) -> list[dict[str, Any]]:
    """Return the toolchains of ``state`` as the module returns them."""
    return [
        {
            "name": name,
            "version": installed.version,
            "components": sorted(installed.components),
            "targets": sorted(installed.targets),
            "default": name == state.default,
        }
        for name, installed in sorted(state.toolchains.items())
    ]


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    host = RustHost(
        rustup_home=params["rustup_home"],
        cargo_home=params["cargo_home"],
        dist_server=params["dist_server"].rstrip("/"),
        installer=params["installer"] or "",
        timeout_seconds=params["timeout_seconds"],
        run=run,
        full=params["verify"] == "full",
    )
    os.umask(0o022)  # every job must be able to read the files that root installs here
    try:
        before = host.read()
        wanted, steps = steps_for(params, host, before)
        if steps and not module.check_mode:
            with host.alone():
                # Another run may have done some of the steps while this run waited for the lock.
                before = host.read()
                wanted, steps = steps_for(params, host, before)
                for step in steps:
                    host.perform(step, wanted.default or before.default)
        after = before if module.check_mode or not steps else host.read()
        if not module.check_mode:
            changed = {name for step in steps for name in (step.installs, step.updates) if name}
            names = [chain.name for chain in wanted.toolchains]
            host.note([name for name in names if after.is_complete(name)], changed)
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(
            msg=f"The Rust installation cannot be read at '{error.filename}' ({error.strerror}); correct "
            "that path, then run again."
        )
    result: dict[str, Any] = {
        "changed": bool(steps),
        "toolchains": shown(after),
        "tools": dict(after.tools),
        "installed": [step.installs for step in steps if step.installs],
        "updated": [step.updates for step in steps if step.updates],
        "removed": [step.removes for step in steps if step.removes],
    }
    if module._diff:
        final = plan.predicted(before, steps) if module.check_mode else plan.describe(after)
        result["diff"] = [
            {
                "before_header": host.rustup_home,
                "after_header": host.rustup_home,
                "before": "".join(f"{line}\n" for line in sorted(plan.describe(before))),
                "after": "".join(f"{line}\n" for line in sorted(final)),
            }
        ]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
