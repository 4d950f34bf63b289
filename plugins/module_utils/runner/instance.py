"""One instance on the host: reading its state, and doing the steps of its plan."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace as replaced
from typing import Callable, Optional

from ..errors import CiError
from ..host import sweep, systemd
from ..host.file_state import Entry, as_wanted, look
from ..host.flock import Flock
from .account import Host, account_of, as_account, clean_environment, has_account, remove_account
from .configure import configure, forget_configuration, read_agent
from .drain import claim, drain
from .layout import instance_directories
from .plan import Local, Step
from .records import (
    APPLIED,
    JIT,
    REGISTRATION,
    TREE,
    forget_record,
    read_record,
    root_file,
    write,
    write_record,
)
from .target import Means, Target
from .tree import is_linked, link_tree

_START_SECONDS = 30.0
# What must not happen under a running job.
_DISTURBING = frozenset(
    [Step.LINK_TREE, Step.WIPE, Step.CONFIGURE, Step.ENROL_JIT, Step.WRITE_FILES, Step.REMOVE_FILES]
)


class Instance:
    """Reads and changes one instance. Nothing here decides: that is the plan's part."""

    def __init__(self, host: Host, target: Target) -> None:
        self._host = host
        self._target = target
        self._layout = target.layout

    @property
    def start_digest(self) -> str:
        """Digest of all that a listener takes over at its start; a restart is due when it differs from the
        last one's.
        """
        target = self._target
        parts = [
            target.tree_id,
            target.environment,
            target.path,
            *(_text(path) for path in self._unit_files()),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def read(self, unit: systemd.Unit) -> Local:
        """Return the instance as it is."""
        layout = self._layout
        agent_id, _name = read_agent(layout)
        registered = read_record(layout, REGISTRATION)
        recorded_id = registered.get("agent_id")
        tree = str(read_record(layout, TREE).get("tree", ""))
        whole = bool(tree) and (tree != self._target.tree_id or is_linked(layout, self._target.tree))
        return Local(
            exists=os.path.isdir(layout.root) or os.path.isdir(self._drop_ins) or self._owns_account,
            agent_id=agent_id,
            recorded_id=recorded_id if isinstance(recorded_id, int) else None,
            fingerprint=str(registered.get("fingerprint", "")),
            tree=tree if whole else "",
            start_digest=str(read_record(layout, APPLIED).get("start_digest", "")),
            files_current=all(as_wanted(entry, look(entry.path)) for entry in self._target.files),
            active=unit.active,
            enabled=unit.enabled,
        )

    def tree_facts(self, seen: Local) -> dict[str, str]:
        """Return the version that lies in the instance, and where the tree is that it had when ``seen``.

        The latter only when it has another one now, and can go back to it.
        """
        record = read_record(self._layout, TREE)
        former = os.path.join(os.path.dirname(os.path.normpath(self._target.tree)), seen.tree)
        back = bool(seen.tree) and record.get("tree") != seen.tree and os.path.isdir(former)
        return {"program_version": str(record.get("version", "")), "former_archive": former if back else ""}

    def apply(
        self,
        steps: Sequence[Step],
        seen: Local,
        means: Means,
        *,
        replace: bool,
        lock: Optional[Flock] = None,
    ) -> None:
        """Do ``steps`` in order; when one fails, an instance that was stopped for it runs again.

        ``lock`` is that of the instance where the caller has it already. Raises CiError, with nothing done,
        when the instance is not as ``seen`` any more, or another run has it.
        """
        actions: dict[Step, Callable[[], None]] = {
            Step.STOP: self._stop,
            Step.LINK_TREE: self._link_tree,
            Step.WIPE: self._wipe,
            Step.CONFIGURE: lambda: self._configure(means.token, replace=replace),
            Step.ENROL_JIT: lambda: self._enrol(means),
            Step.WRITE_FILES: self._write_files,
            Step.START: self._start,
            Step.DISABLE: lambda: systemd.disable(self._host.run, self._target.unit),
            Step.REMOVE_FILES: self._remove_files,
        }
        if Step.WRITE_FILES in steps:
            # What the last job may have put in the place of the others is wiped first.
            self._make_directories(root_only=Step.WIPE in steps)
        stopped = False
        with self._alone(seen, lock):
            try:
                if self._disturbs_what_began(steps):
                    self._stop()
                    stopped = True
                for step in steps:
                    if step in actions:
                        actions[step]()
                        stopped = stopped or step is Step.STOP
            except (CiError, OSError):
                if stopped and Step.START in steps:
                    self._start_again()
                raise
            finally:
                if Step.ENROL_JIT in steps:
                    forget_record(self._layout, JIT)

    @contextlib.contextmanager
    def _alone(self, seen: Local, held: Optional[Flock]) -> Iterator[None]:
        """Keep other runs of Ansible out, who would undo half of what is done here."""
        name = self._target.registration.name
        if not os.path.isdir(self._layout.records):
            yield  # nothing is here that two could quarrel about
            return
        lock = held or claim(self._layout, name)
        try:
            # A unit ends and restarts by itself, as one does whose registration was deleted.
            if replaced(self.read(self._unit_state()), exists=seen.exists, active=seen.active) != seen:
                raise CiError(
                    f"Runner '{name}' was left as it is, because it was changed by somebody else meanwhile; "
                    "run again."
                )
            yield
        finally:
            if lock is not held:
                lock.release()

    def _disturbs_what_began(self, steps: Sequence[Step]) -> bool:
        """Return whether ``steps`` were made for a unit at rest, which may have begun a job meanwhile."""
        return Step.STOP not in steps and not _DISTURBING.isdisjoint(steps) and self._unit_state().active

    @property
    def _owns_account(self) -> bool:
        """Whether an account is left that lives, or lived, in this instance."""
        user = self._target.user
        return has_account(user) and account_of(user).home == self._layout.home

    @property
    def _drop_ins(self) -> str:
        return os.path.join(self._host.unit_dir, f"{self._target.unit}.d")

    def _unit_files(self) -> list[str]:
        """Return the files that systemd merges into this instance's unit, in a fixed order."""
        template = os.path.join(self._host.unit_dir, "coldvox-runner@.service")
        found = [template]
        for folder in (f"{template}.d", self._drop_ins):
            if os.path.isdir(folder):
                found += [
                    os.path.join(folder, name)
                    for name in sorted(os.listdir(folder))
                    if name.endswith(".conf")
                ]
        return found

    def _make_directories(self, *, root_only: bool = False) -> None:
        account_of(self._target.user)
        found = instance_directories(self._layout, self._target.user, self._target.registration.work_dir)
        for wanted in found[:1] if root_only else found:
            owner = str(os.geteuid()) if wanted.owner == "root" else wanted.owner
            group = str(account_of(wanted.group).gid)
            _keep(Entry(wanted.path, "directory", int(wanted.mode, 8), owner, group))
        _keep(Entry(self._layout.records, "directory", 0o755, str(os.geteuid()), str(os.getegid())))

    def _stop(self) -> None:
        """Wait for the running job, then stop the unit. Raises CiError, with everything still running, when
        it lasts.
        """
        host = self._host
        drained = drain(host, self._target.unit, self._layout, timeout_seconds=host.drain_timeout_seconds)
        if not drained.stopped:
            raise CiError(
                f"Runner '{self._target.registration.name}' still runs a job after "
                f"{host.drain_timeout_seconds:g} s; nothing was stopped, run again when the job is done "
                "or raise drain_timeout_seconds."
            )

    def _link_tree(self) -> None:
        forget_record(self._layout, TREE)
        link_tree(self._target.tree, self._layout)
        write_record(self._layout, TREE, {"tree": self._target.tree_id, "version": self._version()})

    def _version(self) -> str:
        """Ask the linked runner itself (facts of a self-update are in the program, not in what was
        unpacked).
        """
        account = account_of(self._target.user)
        argv = as_account(account, ["./bin/Runner.Listener", "--version"])
        environment = clean_environment(account, self._layout.home)
        result = self._host.run(argv, environment=environment, cwd=self._layout.root, timeout_seconds=60.0)
        if result.status != 0 or not result.stdout.strip():
            raise CiError(
                f"The runner in '{self._target.tree}' does not start on this host "
                f"({' '.join((result.stderr or result.stdout).split())[-200:] or result.status}); is it made "
                "for this architecture, and are its libraries installed?"
            )
        return result.stdout.strip().splitlines()[-1].strip()

    def _wipe(self) -> None:
        """Take away what the last job left: its work and its home, both made anew. Nothing outside of them is
        reached, whatever a job has planted.
        """
        work_dir, home = self._target.registration.work_dir, os.path.basename(self._layout.home)
        if os.path.isabs(work_dir):
            self._sweep(self._layout.root, [home])
            if os.path.isdir(work_dir):
                self._sweep(work_dir)
        else:
            self._sweep(self._layout.root, [home, work_dir])
        self._make_directories()

    @staticmethod
    def _sweep(directory: str, names: Optional[Sequence[str]] = None) -> None:
        """Remove ``names`` from ``directory``, or all that is in it; raises CiError when something stays."""
        with contextlib.ExitStack() as opened:
            folder = sweep.open_directory(directory)
            opened.callback(os.close, folder)
            trash = sweep.open_trash(folder)
            opened.callback(os.close, trash)
            if names is None:
                sweep.discard_all(folder, trash, [sweep.TRASH])
            else:
                for name in names:
                    sweep.discard(folder, name, trash)
            left = bool(sweep.empty(trash, lambda: False).left)
            with contextlib.suppress(OSError):
                os.rmdir(sweep.TRASH, dir_fd=folder)
        here = os.listdir(directory)
        if left or (here if names is None else set(here).intersection(names)):
            raise CiError(
                f"'{directory}' still has what a job left there; is something mounted in it? Unmount it, "
                "then run again."
            )

    def _configure(self, token: str, *, replace: bool) -> None:
        target = self._target
        if not token:
            raise self._changed_meanwhile()
        forget_record(self._layout, REGISTRATION)
        agent_id = configure(
            self._host.run,
            self._layout,
            account_of(target.user),
            target.registration,
            labels=target.labels,
            token=token,
            replace=replace,
        )
        self._note_registration(agent_id)

    def _enrol(self, means: Means) -> None:
        """Lay down a configuration for one start; systemd reads it as root and removes it at the start."""
        name = self._target.registration.name
        if name not in means.jit:
            raise self._changed_meanwhile()
        agent_id, config = means.jit[name]
        forget_configuration(self._layout)
        self._note_registration(agent_id)
        text = f"ACTIONS_RUNNER_INPUT_JITCONFIG={config}\n"
        write(root_file(self._layout.record(JIT), text, mode=0o600))

    def _note_registration(self, agent_id: int) -> None:
        registration = self._target.registration
        record = {"fingerprint": registration.fingerprint, "agent_id": agent_id, "url": registration.url}
        write_record(self._layout, REGISTRATION, record)

    def _changed_meanwhile(self) -> CiError:
        name = self._target.registration.name
        return CiError(f"Runner '{name}' lost its registration while it was worked on; run again.")

    def _write_files(self) -> None:
        for entry in self._target.files:
            write(entry)

    def _start(self) -> None:
        unit, run = self._target.unit, self._host.run
        if self._unit_state().needs_reload:
            systemd.daemon_reload(run)
        if not self._unit_state().enabled:
            systemd.enable(run, unit)
        systemd.start(run, unit)
        deadline = self._host.now() + _START_SECONDS
        while not (self._unit_state().running or self._had_its_job()):
            if self._host.now() >= deadline:
                raise CiError(f"{unit} does not stay up; see 'journalctl -u {unit}' on the host.")
            self._host.sleep(1.0)
        write_record(self._layout, APPLIED, {"start_digest": self.start_digest})

    def _had_its_job(self) -> bool:
        """Whether a runner for one job is through with it: it then takes its registration away."""
        return self._target.registration.ephemeral and read_agent(self._layout)[0] is None

    def _start_again(self) -> None:
        """Let the former state work on after a failure; the failure itself is what the user has to hear
        of.
        """
        with contextlib.suppress(CiError):
            systemd.start(self._host.run, self._target.unit)

    def _unit_state(self) -> systemd.Unit:
        return systemd.show(self._host.run, [self._target.unit])[self._target.unit]

    def _remove_files(self) -> None:
        """Take away everything of the instance; its account too, when it lives in there."""
        run, layout = self._host.run, self._layout
        if self._unit_state().enabled:
            systemd.disable(run, self._target.unit)
        if os.path.isdir(self._drop_ins):
            shutil.rmtree(self._drop_ins)
            systemd.daemon_reload(run)
        if os.path.isdir(layout.root):
            # A job may have nested directories deeper than rmtree goes.
            self._sweep(layout.root)
            shutil.rmtree(layout.root)
        remove_account(run, self._target.user, layout.home)


def _keep(entry: Entry) -> None:
    if not as_wanted(entry, look(entry.path)):
        write(entry)


def _text(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
