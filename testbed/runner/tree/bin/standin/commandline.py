"""The runner's options: command line and ACTIONS_RUNNER_INPUT_* variables."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

INPUT_PREFIX = "ACTIONS_RUNNER_INPUT_"
GENERIC = {"help", "version", "commit", "check"}
KNOWN = {
    "configure": {
        "unattended", "ephemeral", "replace", "disableupdate", "no-default-labels", "generateserviceconfig",
        "runasservice", "url", "token", "pat", "name", "labels", "runnergroup", "work", "auth",
        "monitorsocketaddress", "username", "windowslogonaccount", "windowslogonpassword",
    },
    "remove": {"token", "pat", "local", "unattended"},
    "run": {"once", "jitconfig", "startuptype"},
    "warmup": set[str](),
}  # fmt: skip


@dataclass
class CommandLine:
    """The parsed command line; names are in lower case.

    ``commands`` are the words before the first option, ``arguments`` the options with a value, ``flags`` the
    options without one.
    """

    commands: list[str] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        return next((word for word in self.commands if word in KNOWN), "")

    def unrecognized(self) -> list[str]:
        """Return the words and options that the command does not have.

        Like GitHub's runner, the caller prints a warning and continues.
        """
        known = GENERIC | (KNOWN[self.command] if self.command else KNOWN["run"])
        words = [word for word in self.commands if word not in KNOWN]
        return words + [name for name in [*self.flags, *self.arguments] if name not in known]


def parse(argv: Sequence[str]) -> CommandLine:
    """Split ``argv`` by the runner's rules.

    A word after an option is its value, even if the option takes none. The first value of an option counts.
    Further words, and words that start with a single dash, are ignored.
    """
    line = CommandLine()
    pending: Optional[str] = None
    options_began = False
    for word in argv:
        if word.startswith("--"):
            _keep_flag(line, pending)
            pending, options_began = word[2:].lower(), True
        elif word.startswith("-"):
            continue
        elif not options_began:
            line.commands.append(word.lower())
        elif pending is not None:
            line.arguments.setdefault(pending, word)
            pending = None
    _keep_flag(line, pending)
    return line


def _keep_flag(line: CommandLine, name: Optional[str]) -> None:
    if name and name not in line.flags:
        line.flags.append(name)


class Settings:
    """The values of options; the command line wins over the environment."""

    def __init__(self, line: CommandLine, environ: MutableMapping[str, str]) -> None:
        """Remove the input variables from ``environ``, so that no job inherits a token."""
        self.line = line
        self._inputs: dict[str, str] = {}
        for key in [key for key in environ if key.upper().startswith(INPUT_PREFIX)]:
            value = environ.pop(key).strip()
            if value:
                self._inputs[key[len(INPUT_PREFIX) :].lower()] = value

    def argument(self, name: str) -> Optional[str]:
        return self.line.arguments.get(name) or self._inputs.get(name)

    def flag(self, name: str) -> bool:
        return name in self.line.flags or self._inputs.get(name, "").lower() == "true"

    @property
    def unattended(self) -> bool:
        return self.flag("unattended")

    def required(self, name: str, prompt: str, default: Optional[str] = None) -> str:
        """Return the value of an option, or ask for it.

        Raises ValueError when the command is unattended and the option has no default.
        """
        value = self.argument(name)
        if value is None and (self.unattended or default is not None):
            value = default
        if value is None and not self.unattended:
            value = _ask(prompt)
        if not value:
            raise ValueError(
                f"Invalid configuration provided for {name}. Terminating unattended configuration."
            )
        return value


def _ask(prompt: str) -> str:
    try:
        return input(f"{prompt} ").strip()
    except EOFError:
        # The original asks for ever when there is no terminal; here the command ends, for the tests.
        return ""


def split_labels(text: str) -> list[str]:
    """Return the labels in ``text``.

    They are split at commas and not trimmed; of labels that differ only in letter case the first counts. A
    label of more than 256 characters removes all of them: unattended configuration then continues without
    labels.
    """
    labels: dict[str, str] = {}
    for label in text.split(","):
        if len(label) > 256:
            return []
        if label:
            labels.setdefault(label.lower(), label)
    return list(labels.values())
