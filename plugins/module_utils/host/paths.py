"""The paths on a host: those of the installed ``runnerctl``, or the defaults.

Only this module knows the layout; the role ``agent`` makes the same one. The agent's user writes only in
directories of its own. The directories above belong to root, so that user cannot put a link in root's way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Paths(NamedTuple):
    """Absolute paths; the defaults are those of the roles. A boot empties ``run``."""

    store: str = "/var/cache/coldvox-ci"
    run: str = "/run/coldvox-ci"
    state: str = "/var/lib/coldvox-ci"
    runners: str = "/var/lib/actions-runner"
    config: str = "/etc/coldvox-ci"

    @property
    def locks(self) -> str:
        """The directory of the lock files that jobs make."""
        return f"{self.run}/locks"

    @property
    def jobs(self) -> str:
        """The directory with a directory for each instance, for its jobs' records."""
        return f"{self.run}/jobs"

    @property
    def results(self) -> str:
        """The directory of job results that the history has not read yet.

        Root reads them from the journal.
        """
        return f"{self.run}/results"

    @property
    def sample(self) -> str:
        """The file with the sampler's latest sample."""
        return f"{self.run}/agent/sample.json"

    @property
    def health(self) -> str:
        """The file that the health check publishes."""
        return f"{self.run}/agent/health.json"

    @property
    def health_state(self) -> str:
        """The file that a health check keeps for the next one.

        It also has the last probe of the network.
        """
        return f"{self.run}/agent/health-state.json"

    @property
    def samples(self) -> str:
        """The samples as CSV; rotated files are in the same directory."""
        return f"{self.state}/metrics/samples.csv"

    @property
    def prometheus(self) -> str:
        """The last sample as a text file for Prometheus."""
        return f"{self.state}/metrics/coldvox_ci.prom"

    @property
    def history(self) -> str:
        """The database of jobs; SQLite keeps more files in the same directory."""
        return f"{self.state}/history/history.db"

    @property
    def rust(self) -> tuple[str, str]:
        """The directories RUSTUP_HOME and CARGO_HOME of the shared toolchains."""
        return f"{self.state}/rustup", f"{self.state}/cargo"


def paths_of(defaults: Mapping[str, str]) -> Paths:
    """Return the paths of ``defaults``, and built-in ones for those it lacks."""
    return Paths(**{name: path for name, path in defaults.items() if name in Paths._fields})
