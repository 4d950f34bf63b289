# Copyright (c) 2026 coldvox.ci contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action of ``coldvox.ci.input_check``; nothing runs on the host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.coldvox.ci.plugins.module_utils.inventory.inputs import (
    misspelt_shared,
    role_runs,
    shared_runner_names,
    unknown_inputs,
    unknown_keys,
)
from ansible_collections.coldvox.ci.plugins.plugin_utils.preload import preload

#: How the inputs that all roles share begin.
_SHARED = "coldvox_"
_NOTHING = object()
ROLES = Path(__file__).resolve().parents[2] / "roles"
#: The options of one role's main entry point, as its argument specs declare them.
Options = dict[str, dict[str, Any]]

preload()


def _read_specs() -> dict[str, dict[str, Options]]:
    """Return role, entry point and options of the whole collection."""
    return {
        path.parents[1].name: {
            name: entry.get("options") or {}
            for name, entry in yaml_load(path.read_text(encoding="utf-8"))["argument_specs"].items()
        }
        for path in sorted(ROLES.glob("*/meta/argument_specs.yml"))
    }


#: Read once, when Ansible imports this file in the process that all workers are forked from.
SPECS = _read_specs()


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """The action that compares a host's variables with the inputs of the roles."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Fail with one sentence that lists every mistake, or return without a change."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        declared = {role: {name for o in entries.values() for name in o} for role, entries in SPECS.items()}
        shared = {name for names in declared.values() for name in names if name.startswith(_SHARED)}
        unknown = [*unknown_inputs(variables, declared), *misspelt_shared(variables, shared)]
        # A shared input is declared by several roles; its mistake is one.
        mistakes = (
            [str(mistake) for mistake in unknown]
            or list(dict.fromkeys(self._wrong_values(variables)))
            or [*self._refusals(variables), *self._shared_names(variables)]
        )
        if mistakes:
            raise AnsibleActionFail(
                f"The inventory of {variables['inventory_hostname']} has a mistake: {'; '.join(mistakes)}. "
                "Correct it there; nothing was changed."
            )
        result["changed"] = False
        return result

    def _wrong_values(self, variables: Mapping[str, Any]) -> Iterator[str]:
        """Yield a text for each wrong value."""
        for entries in SPECS.values():
            for name, option in entries.get("main", {}).items():
                # A role's own default is right, and may need facts, which are not here yet.
                if name not in variables or variables[name] == option.get("default", _NOTHING):
                    continue
                value = self._templar.template(variables[name])
                strange = unknown_keys(value, option["options"], name) if option.get("options") else []
                yield from strange
                spec = {name: {**option, "required": False}}
                errors = ArgumentSpecValidator(spec).validate({name: value}).errors.errors
                if name.startswith(_SHARED) and name.endswith("_dir") and not str(value).startswith("/"):
                    yield f"{name}: '{value}' is no absolute path"
                if not strange:
                    yield from (f"{name}: {problem}" for problem in _problems(errors))

    def _refusals(self, variables: Mapping[str, Any]) -> Iterator[str]:
        """Yield why a role of this play that will run refuses its inputs.

        Each role lists its reasons in ``__<role>_refusals``. A value that cannot be computed is a reason too.
        """
        tags = variables.get("ansible_run_tags") or ["all"], variables.get("ansible_skip_tags") or []
        for role in SPECS:
            reasons = variables.get(f"__{role}_refusals")
            if reasons is None or not role_runs(role, *tags):
                continue
            try:
                yield from (str(reason).rstrip(".") for reason in self._templar.template(reasons))
            except AnsibleError as error:
                yield _first_cause(error).rstrip(".")

    def _shared_names(self, variables: Mapping[str, Any]) -> Iterator[str]:
        """Yield a text for each runner that another host of the inventory has too."""
        # A pool from the command line is that of every host, so it says nothing about hosts of other plays.
        everywhere = "github_runner_instances" in load_extra_vars(self._loader)
        others = [] if everywhere else variables.get("groups", {}).get("all", [])
        hosts = {variables["inventory_hostname"], *variables.get("ansible_play_hosts_all", []), *others}
        pools = {host: _pool(variables["hostvars"], host) for host in hosts}
        for name, other in shared_runner_names(variables["inventory_hostname"], pools):
            yield f"runner '{name}' is a runner of {other} too, so choose another name"


def _pool(of_all: Mapping[str, Any], host: str) -> tuple[str, list[str]]:
    """Return the GitHub page and the runner names of ``host``.

    They are empty if the host's variables cannot be read.
    """
    try:
        instances = of_all[host].get("github_runner_instances") or []
        names = [str(item["name"]) for item in instances if item.get("state") != "absent"]
        return str(of_all[host].get("github_runner_url") or ""), names
    except (AnsibleError, AttributeError, KeyError, TypeError):
        return "", []


def _first_cause(error: BaseException) -> str:
    """Return the message of the error that began the chain of ``error``."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(getattr(error, "message", "") or error)


def _problems(errors: Sequence[Any]) -> list[str]:
    """Return the texts of the errors, without a text that another text contains."""
    texts = [str(error.msg).rstrip(".") for error in errors if not isinstance(error, UnsupportedError)]
    return [text for text in texts if not any(text != other and text in other for other in texts)]
