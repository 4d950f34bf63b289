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
  - Reads what is installed from rustup's own files, then calls rustup and cargo only for what is missing.
    A host that has everything needs neither the network nor a started program.
  - rustup itself comes from O(installer), a verified C(rustup-init), and never updates itself.
  - Both programs run in an environment of their own; only proxy settings are inherited.
author: coldvox.ci contributors (@Coldaine)
extends_documentation_fragment:
  - coldvox.ci.attributes
attributes:
  check_mode:
    support: full
    details:
      - With O(state=latest) the server is asked for updates in check mode too.
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
        description: A channel, a version or a dated channel, as V(stable), V(1.75.0), V(nightly-2024-02-10).
        type: str
        required: true
      profile:
        description: What rustup installs at least. It counts when the toolchain is installed, not later.
        type: str
        choices: [minimal, default, complete]
        default: minimal
      components:
        description: Components to have, such as V(rustfmt) and V(clippy). Others are left alone.
        type: list
        elements: str
        default: []
      targets:
        description: Targets to have besides the host's own. Others are left alone.
        type: list
        elements: str
        default: []
      default:
        description: Makes this the toolchain that runs when none is named. At most one can be.
        type: bool
        default: false
  tools:
    description: Programs to install by C(cargo install), with the default toolchain.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The name of the crate.
        type: str
        required: true
      version:
        description: The exact version. Without it any version will do, and the newest is installed.
        type: str
        default: ""
  installer:
    description:
      - Path of a verified C(rustup-init) on the host. rustup is installed when it is missing or differs.
      - Without it, rustup must be there already.
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
    description: Where toolchains come from.
    type: str
    default: https://static.rust-lang.org
  timeout_seconds:
    description: The longest that a single call of rustup or cargo may take.
    type: int
    default: 1800
  state:
    description:
      - V(present) installs what is missing.
      - V(latest) also brings the channels among O(toolchains) up to date; a version stays what it is.
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

- name: Toolchains | Bring the channels up to date
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
  description: What was, or in check mode would be, installed.
  returned: success
  type: list
  elements: str
  sample: [1.75.0-x86_64-unknown-linux-gnu]
updated:
  description: What was, or would be, updated or extended.
  returned: success
  type: list
  elements: str
removed:
  description: What was, or would be, removed.
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
    "timeout_seconds": {"type": "int", "default": 1800},
    "state": {"type": "str", "choices": ["present", "latest", "absent"], "default": "present"},
}


def steps_for(
    params: dict[str, Any], host: RustHost, state: plan.State
) -> tuple[plan.Wanted, list[plan.Step]]:
    """Return what is wanted and the steps to it."""
    wanted = plan.wanted_from(params["toolchains"], params["tools"], state.host)
    if params["state"] == "absent":
        return wanted, plan.plan_removal(wanted, state)
    updates: frozenset[str] = frozenset()
    if params["state"] == "latest" and state.rustup != "missing":
        updates = host.updates([one.name for one in wanted.toolchains if one.name in state.toolchains])
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
    )
    os.umask(0o022)  # what root installs here, every job must be able to read
    try:
        before = host.read()
        wanted, steps = steps_for(params, host, before)
        if steps and not module.check_mode:
            with host.alone():
                # Another run may have done some of it while this one waited.
                before = host.read()
                wanted, steps = steps_for(params, host, before)
                for step in steps:
                    host.perform(step, wanted.default or before.default)
        after = before if module.check_mode or not steps else host.read()
    except CiError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(msg=f"The Rust installation cannot be read at '{error.filename}': {error.strerror}.")
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
