"""Where things lie on this host, as ``runnerctl`` was installed, and where they are without.

The one place that knows the layout; the role agent makes the same one. What the agent's own user writes lies
in directories of its own: those above belong to root, so that it can put nothing in root's way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    pass


class Paths(NamedTuple):
    """Absolute paths; the defaults are those of the roles. What is below ``run`` is gone after a boot."""

    store: str = "/var/cache/coldvox-ci"
    run: str = "/run/coldvox-ci"
    state: str = "/var/lib/coldvox-ci"
    runners: str = "/var/lib/actions-runner"
    config: str = "/etc/coldvox-ci"

    @property
    def locks(self) -> str:
        """Lock files of jobs, which jobs make."""
        return f"{self.run}/locks"

    @property
    def jobs(self) -> str:
        """A directory for each instance, in which its jobs leave their records."""
        return f"{self.run}/jobs"

    @property
    def results(self) -> str:
        """How jobs ended, as root has learnt it, until the history takes it in."""
        return f"{self.run}/results"

    @property
    def sample(self) -> str:
        """The sampler's latest sample."""
        return f"{self.run}/agent/sample.json"

    @property
    def health(self) -> str:
        """What the health check has published."""
        return f"{self.run}/agent/health.json"

    @property
    def health_state(self) -> str:
        """What one health check leaves for the next, and the last probe for the sampler without network."""
        return f"{self.run}/agent/health-state.json"

    @property
    def samples(self) -> str:
        """The samples as CSV; those set aside lie beside it."""
        return f"{self.state}/metrics/samples.csv"

    @property
    def prometheus(self) -> str:
        """The last sample for Prometheus."""
        return f"{self.state}/metrics/coldvox_ci.prom"

    @property
    def history(self) -> str:
        """The database of the jobs that ran; SQLite has more files beside it."""
        return f"{self.state}/history/history.db"

    @property
    def rust(self) -> tuple[str, str]:
        """The toolchains, and rustup with the cargo tools."""
        return f"{self.state}/rustup", f"{self.state}/cargo"


def paths_of(defaults: Mapping[str, str]) -> Paths:
    """Return ``defaults`` where they are given."""
    return Paths(**{name: path for name, path in defaults.items() if name in Paths._fields})
