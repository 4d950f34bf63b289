"""The files of the role hardening, rendered without Ansible.

The scenario ``hardening`` compares them with what Ansible writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.nativetypes import NativeEnvironment

ROLE = Path(__file__).resolve().parents[2] / "roles" / "hardening"
MANAGED = "kept by Ansible"
_COMMENTS = {"plain": "#\n# {}\n#", "c": "//\n// {}\n//"}


def _read(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def profiles() -> list[str]:
    """Return the choices of ``hardening_profile``."""
    options = _read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return list(options["hardening_profile"]["choices"])


def variables(profile: str, **inputs: Any) -> dict[str, Any]:
    """Return the defaults and the vars of the role with every expression evaluated."""
    values = {**_read("defaults/main.yml"), **_read("vars/main.yml"), "ansible_facts": {}, **inputs}
    values["hardening_profile"] = profile
    environment = NativeEnvironment(undefined=StrictUndefined)
    environment.filters["combine"] = lambda first, second: {**first, **second}
    environment.filters["dirname"] = lambda path: path.rpartition("/")[0]

    def evaluated(value: Any) -> Any:
        if isinstance(value, str) and "{{" in value:
            return evaluated(environment.from_string(value).render(values))
        if isinstance(value, list):
            return [evaluated(each) for each in value]
        return {name: evaluated(each) for name, each in value.items()} if isinstance(value, dict) else value

    return {name: evaluated(value) for name, value in values.items()}


def files(profile: str, **inputs: Any) -> dict[str, str]:
    """Return the text of each file of the role by its path on the host."""
    values = variables(profile, **inputs)
    environment = Environment(
        loader=FileSystemLoader(ROLE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["comment"] = lambda text, style="plain": _COMMENTS[style].format(text)
    return {
        entry["path"]: environment.get_template(entry["template"]).render(ansible_managed=MANAGED, **values)
        for entry in values["__hardening_files"]
    }


def drop_in(profile: str) -> str:
    """Return the sandbox of the runner units under ``profile``."""
    return files(profile)[variables(profile)["__hardening_drop_in"]]
