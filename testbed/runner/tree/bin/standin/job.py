"""The directories and environment of a job."""

from __future__ import annotations

import json
import os
import platform
import shutil
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import registration
from .configure import ARCHITECTURES

COMMAND_FILES = {
    "GITHUB_ENV": "set_env",
    "GITHUB_PATH": "add_path",
    "GITHUB_OUTPUT": "set_output",
    "GITHUB_STATE": "save_state",
    "GITHUB_STEP_SUMMARY": "step_summary",
}


class Job:
    """One job on this runner.

    ``environment`` is the listener's, with the variables that GitHub adds.
    """

    def __init__(self, message: dict[str, Any], root: Path) -> None:
        self.script: str = message["script"]
        self.tracking_id = f"github_{uuid.uuid4()}"
        registered = registration.load(root)
        work = (root / registered.work_folder).absolute()
        name = message["repository"].split("/")[1]
        self.workspace = work / name / name
        self.temp = work / "_temp"
        self.commands = self.temp / "_runner_file_commands"
        self._tools = work / "_tool"
        self._event = self.temp / "_github_workflow" / "event.json"
        self.environment = dict(os.environ)
        self.environment.update(
            self._github(message, registered.github_url), **self._runner(registered.agent_name)
        )

    def prepare(self) -> None:
        """Make the directories.

        The workspace keeps the files of earlier jobs; the temporary directory is emptied.
        """
        shutil.rmtree(self.temp, ignore_errors=True)
        for directory in (self.workspace, self.commands, self._tools, self._event.parent):
            directory.mkdir(parents=True, exist_ok=True)
        self._event.write_text(json.dumps({"inputs": None}), encoding="utf-8")
        for name in COMMAND_FILES:
            Path(self.environment[name]).touch()

    def clean(self) -> None:
        """Remove the temporary directory."""
        shutil.rmtree(self.temp, ignore_errors=True)

    def apply_commands(self) -> None:
        """Apply a step's GITHUB_ENV and GITHUB_PATH to the steps after it."""
        variables = Path(self.environment["GITHUB_ENV"])
        self.environment.update(parse_variables(variables.read_text(encoding="utf-8")))
        variables.write_text("", encoding="utf-8")
        paths = Path(self.environment["GITHUB_PATH"])
        for line in paths.read_text(encoding="utf-8").splitlines():
            if line:
                self.environment["PATH"] = f"{line}:{self.environment.get('PATH', '')}"
        paths.write_text("", encoding="utf-8")

    def _github(self, message: dict[str, Any], github_url: str) -> dict[str, str]:
        parts = urlsplit(github_url)
        server, repository = f"{parts.scheme}://{parts.netloc}", message["repository"]
        unique = uuid.uuid4()
        files = {key: str(self.commands / f"{name}_{unique}") for key, name in COMMAND_FILES.items()}
        return {
            **files,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION": "__run",
            "GITHUB_ACTOR": repository.split("/")[0],
            "GITHUB_API_URL": f"{server}/api/v3",
            "GITHUB_EVENT_NAME": "workflow_dispatch",
            "GITHUB_EVENT_PATH": str(self._event),
            "GITHUB_JOB": message["name"],
            "GITHUB_REF": "refs/heads/main",
            "GITHUB_REF_NAME": "main",
            "GITHUB_REPOSITORY": repository,
            "GITHUB_REPOSITORY_OWNER": repository.split("/")[0],
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": str(message["run_id"]),
            "GITHUB_RUN_NUMBER": str(message["run_id"]),
            "GITHUB_SERVER_URL": server,
            "GITHUB_SHA": "0" * 40,
            "GITHUB_WORKFLOW": message["name"],
            "GITHUB_WORKSPACE": str(self.workspace),
        }

    def _runner(self, name: str) -> dict[str, str]:
        return {
            "RUNNER_ARCH": ARCHITECTURES.get(platform.machine(), "X64"),
            "RUNNER_ENVIRONMENT": "self-hosted",
            "RUNNER_NAME": name,
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_TOOL_CACHE": os.environ.get("RUNNER_TOOL_CACHE", str(self._tools)),
            "RUNNER_TRACKING_ID": self.tracking_id,
            "RUNNER_WORKSPACE": str(self.workspace.parent),
        }


def parse_variables(text: str) -> dict[str, str]:
    """Return the variables in a GITHUB_ENV file.

    It has ``NAME=value`` lines and ``NAME<<END`` blocks.
    """
    variables: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, here, end = line.partition("<<")
        if here and "=" not in name:
            block = []
            for inner in lines:
                if inner == end:
                    break
                block.append(inner)
            variables[name] = "\n".join(block)
        elif "=" in line:
            name, _, value = line.partition("=")
            variables[name] = value
    return variables
