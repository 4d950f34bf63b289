"""One instance on the host: read its state and do the steps of its plan."""

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
from .fresh_start import forget_registration, keep_registration
from .instance_records import (
    ANNOUNCED,
    APPLIED,
    JIT,
    REGISTRATION,
    TREE,
    forget_record,
    is_announced,
    read_record,
    root_file,
    write,
    write_record,
)
from .layout import instance_directories
from .plan import Local, Step
from .target import RegistrationSecrets, Target
from .tree import is_linked, link_tree

_START_SECONDS = 30.0
# Steps that must not happen during a job.
_DISTURBING = frozenset(
    [Step.LINK_TREE, Step.WIPE, Step.CONFIGURE, Step.ENROL_JIT, Step.WRITE_FILES, Step.REMOVE_FILES]
)


class Instance:
    """One instance on this host: reads its state and does the steps of its plan."""

    def __init__(self, host: Host, target: Target) -> None:
        self._host = host
        self._target = target
        self._layout = target.layout

    @property
    def start_digest(self) -> str:
        """The digest of what a listener reads at its start; another needs a restart."""
        target = self._target
        parts = [target.tree_id, target.environment, target.path, *map(_text, self._unit_files())]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def read(self, unit: systemd.Unit) -> Local:
        """Return the state of the instance; ``unit`` is the state of its unit."""
        layout = self._layout
        agent_id, _name = read_agent(layout)
        registered = read_record(layout, REGISTRATION)
        recorded_id = registered.get("agent_id")
        record = read_record(layout, TREE)
        tree = str(record.get("tree", ""))
        # Without the list of its entries, nothing can be removed between two jobs.
        listed = bool(tree and record.get("entries"))
        whole = listed and (tree != self._target.tree_id or is_linked(layout, self._target.tree))
        return Local(
            exists=os.path.isdir(layout.root) or os.path.isdir(self._drop_ins) or self._owns_account,
            agent_id=agent_id,
            recorded_id=recorded_id if isinstance(recorded_id, int) else None,
            announced=is_announced(layout),
            fingerprint=str(registered.get("fingerprint", "")),
            tree=tree if whole else "",
            start_digest=str(read_record(layout, APPLIED).get("start_digest", "")),
            files_current=all(as_wanted(entry, look(entry.path)) for entry in self._target.files),
            active=unit.active,
            enabled=unit.enabled,
            failing=unit.failing,
        )

    def announce(self) -> None:
        """Record that the host is about to register: the new id may not arrive."""
        self._make_directories(root_only=True)
        write_record(self._layout, ANNOUNCED, {})

    def tree_facts(self, seen: Local) -> dict[str, str]:
        """Return the instance's version, and the tree that it had when ``seen``.

        The tree is empty unless the instance now has another one and can return to it.
        """
        record = read_record(self._layout, TREE)
        former = os.path.join(os.path.dirname(os.path.normpath(self._target.tree)), seen.tree)
        back = bool(seen.tree) and record.get("tree") != seen.tree and os.path.isdir(former)
        return {"program_version": str(record.get("version", "")), "former_archive": former if back else ""}

    def apply(
        self,
        steps: Sequence[Step],
        seen: Local,
        secrets: RegistrationSecrets,
        *,
        replace: bool,
        lock: Optional[Flock] = None,
    ) -> None:
        """Do ``steps`` in order; if one fails, start an instance that was stopped for it.

        ``replace`` lets config.sh replace a registration of the same name. ``lock`` is the lock of the
        instance, if the caller already holds it. Raises CiError with nothing done if the instance differs
        from ``seen``, or if another run has the lock.
        """
        actions: dict[Step, Callable[[], None]] = {
            Step.STOP: self._stop,
            Step.LINK_TREE: self._link_tree,
            Step.WIPE: self._wipe,
            Step.CONFIGURE: lambda: self._configure(secrets.token, replace=replace),
            Step.ENROL_JIT: lambda: self._enrol(secrets),
            Step.WRITE_FILES: self._write_files,
            Step.START: self._start,
            Step.DISABLE: lambda: systemd.disable(self._host.run, self._target.unit),
            Step.REMOVE_FILES: self._remove_files,
        }
        if Step.WRITE_FILES in steps:
            # WIPE first removes what the last job may have put in the place of the others.
            self._make_directories(root_only=Step.WIPE in steps)
        stopped = False
        with self._exclusive(seen, lock):
            try:
                if self._disturbs_new_start(steps):
                    self._stop()
                    stopped = True
                for step in steps:
                    if step in actions:  # the others are the controller's
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
    def _exclusive(self, seen: Local, held: Optional[Flock]) -> Iterator[None]:
        """Hold the lock of the instance, so that no other run undoes these steps."""
        name = self._target.registration.name
        if not os.path.isdir(self._layout.records):
            yield  # there are no files yet that a second run could change
            return
        lock = held or claim(self._layout, name)
        try:
            now = self.read(self._unit_state())
            # Ignore whether the unit is active: without a registration it ends and restarts by itself.
            own = {"exists": seen.exists, "announced": seen.announced, "failing": seen.failing}
            if replaced(now, active=seen.active, **own) != seen:
                raise CiError(
                    f"Runner '{name}' was left as it is, because another process changed it meanwhile; "
                    "run again."
                )
            yield
        finally:
            if lock is not held:
                lock.release()

    def _disturbs_new_start(self, steps: Sequence[Step]) -> bool:
        """Return whether the steps would disturb a unit that has started meanwhile.

        The plan was made for an inactive unit, which may have started a job since then.
        """
        return Step.STOP not in steps and not _DISTURBING.isdisjoint(steps) and self._unit_state().active

    @property
    def _owns_account(self) -> bool:
        """Whether the account exists and its home is in this instance."""
        user = self._target.user
        return has_account(user) and account_of(user).home == self._layout.home

    @property
    def _drop_ins(self) -> str:
        return os.path.join(self._host.unit_dir, f"{self._target.unit}.d")

    def _unit_files(self) -> list[str]:
        """Return the files that systemd merges into this unit, in a fixed order."""
        template = os.path.join(self._host.unit_dir, "coldvox-runner@.service")
        files = [template]
        for folder in (f"{template}.d", self._drop_ins):
            if os.path.isdir(folder):
                files += [
                    os.path.join(folder, name)
                    for name in sorted(os.listdir(folder))
                    if name.endswith(".conf")
                ]
        return files

    def _make_directories(self, *, root_only: bool = False) -> None:
        account_of(self._target.user)
        directories = instance_directories(
            self._layout, self._target.user, self._target.registration.work_dir
        )
        for wanted in directories[:1] if root_only else directories:
            owner = str(os.geteuid()) if wanted.owner == "root" else wanted.owner
            group = str(account_of(wanted.group).gid)
            _keep(Entry(wanted.path, "directory", int(wanted.mode, 8), owner, group))
        _keep(Entry(self._layout.records, "directory", 0o755, str(os.geteuid()), str(os.getegid())))

    def _stop(self) -> None:
        """Wait for the running job, then stop the unit.

        Raises CiError after drain_timeout_seconds; then everything still runs.
        """
        host = self._host
        drained = drain(host, self._target.unit, self._layout, timeout_seconds=host.drain_timeout_seconds)
        if not drained.stopped:
            raise CiError(
                f"Runner '{self._target.registration.name}' still runs a job after "
                f"{host.drain_timeout_seconds:g} s and was not stopped; run again when the job has ended, "
                "or raise github_runner_drain_timeout_seconds (of the module, drain_timeout_seconds)."
            )

    def _link_tree(self) -> None:
        forget_record(self._layout, TREE)
        link_tree(self._target.tree, self._layout)
        write_record(
            self._layout,
            TREE,
            {
                "tree": self._target.tree_id,
                "version": self._version(),
                "entries": sorted(os.listdir(self._target.tree)),
            },
        )

    def _version(self) -> str:
        """Return the version that the linked runner itself reports.

        A self-update changes the program, not the name of the tree.
        """
        account = account_of(self._target.user)
        argv = as_account(account, ["./bin/Runner.Listener", "--version"])
        environment = clean_environment(account, self._layout.home)
        result = self._host.run(argv, environment=environment, cwd=self._layout.root, timeout_seconds=60.0)
        if result.status != 0 or not result.stdout.strip():
            raise CiError(
                f"The runner in '{self._target.tree}' does not start on this host "
                f"({' '.join((result.stderr or result.stdout).split())[-200:] or result.status}); install a "
                "runner for this architecture and the libraries that it needs."
            )
        return result.stdout.strip().splitlines()[-1].strip()

    def _wipe(self) -> None:
        """Remove the last job's files: empty its work and home directories.

        A job may have planted links, so nothing outside of these directories is reached.
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
        """Remove ``names``, or everything, from ``directory``.

        Raises CiError if something stays.
        """
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
                f"Directory '{directory}' still has files of a job, perhaps a mount point; unmount it, then "
                "run again."
            )

    def _configure(self, token: str, *, replace: bool) -> None:
        target = self._target
        if not token:
            raise self._changed_meanwhile()
        forget_record(self._layout, REGISTRATION)
        forget_registration(self._layout)
        agent_id = configure(
            self._host.run,
            self._layout,
            account_of(target.user),
            target.registration,
            labels=target.labels,
            token=token,
            replace=replace,
        )
        if not target.registration.ephemeral:
            keep_registration(self._layout)
        self._note_registration(agent_id)

    def _enrol(self, secrets: RegistrationSecrets) -> None:
        """Write a configuration for one start.

        systemd reads it as root and removes it at the start.
        """
        name = self._target.registration.name
        if name not in secrets.jit:
            raise self._changed_meanwhile()
        agent_id, config = secrets.jit[name]
        forget_configuration(self._layout)
        forget_registration(self._layout)
        self._note_registration(agent_id)
        text = f"ACTIONS_RUNNER_INPUT_JITCONFIG={config}\n"
        write(root_file(self._layout.record(JIT), text, mode=0o600))

    def _note_registration(self, agent_id: int) -> None:
        registration = self._target.registration
        own = {"agent_id": agent_id, "url": registration.url, "ephemeral": registration.ephemeral}
        write_record(self._layout, REGISTRATION, {"fingerprint": registration.fingerprint, **own})
        forget_record(self._layout, ANNOUNCED)

    def _changed_meanwhile(self) -> CiError:
        name = self._target.registration.name
        return CiError(f"Runner '{name}' lost its registration during this run; run again.")

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
                raise CiError(f"Unit {unit} does not stay active; see 'journalctl -u {unit}' on the host.")
            self._host.sleep(1.0)
        write_record(self._layout, APPLIED, {"start_digest": self.start_digest})

    def _had_its_job(self) -> bool:
        """Return whether a runner for one job has ended; it then removes its registration."""
        return self._target.registration.ephemeral and read_agent(self._layout)[0] is None

    def _start_again(self) -> None:
        """Start the unit after a failure, and ignore errors.

        The user must see the first failure, not a second one.
        """
        with contextlib.suppress(CiError):
            systemd.start(self._host.run, self._target.unit)

    def _unit_state(self) -> systemd.Unit:
        return systemd.show(self._host.run, [self._target.unit])[self._target.unit]

    def _remove_files(self) -> None:
        """Remove all files of the instance, and its account if its home is there."""
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
