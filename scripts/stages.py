"""The stages of ``make test``: each is a list of checks, and a check is a command."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
BIN = Path(".venv/bin")
OLDEST = Path(".venv-oldest/bin")
REPORTS = Path(".testbed/reports")
#: A file's tests stay together: they share what is dear to make.
BOTH_CORES = ("-n", "2", "--dist", "loadfile")
#: The tests of the library, and those among them that also ask through Ansible's own HTTP client.
LIBRARY = Path("tests/unit/plugins/module_utils")
BY_ANSIBLE = ("github",)
#: They need no more of Ansible's oldest core than test_github_runner_public.py does, and than the site that
#: it converges (tests/world/test_site.py).
POOL = "tests/unit/plugins/action/github_runner/test_github_runner_"
SCENARIOS = [f"{POOL}{name}.py" for name in ("enrol", "failures", "lifecycle", "pool")]
#: Checks of sanity that only read the files, so the version of ansible-core does not matter.
STYLE = ("pep8", "pylint", "shellcheck", "yamllint")
#: It needs no host of the inventory, so it may be in either world.
MANY_HOSTS = Path("tests/world/test_many_hosts.py")
#: They need only a laptop with its pool, so they may be in either world.
JOBS = (Path("tests/world/test_one_job.py"), Path("tests/attacks"))
#: Molecule's frames around what a command prints only break its lines.
PLAIN = ("--no-command-borders",)
#: Dependency order, so that each role is first checked on a host that has not seen it.
ROLES = (
    "hardening",
    "system_packages",
    "rust_toolchains",
    "libvosk",
    "vosk_models",
    "agent",
    "maintenance",
    "github_runner",
)


@dataclasses.dataclass
class Check:
    """One command of a stage; ``junit`` counts its cases one by one."""

    name: str
    argv: list[str]
    junit: Path | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def pytest(name: str, *arguments: str, python: Path = BIN, **environment: str) -> Check:
    """Return a check that runs pytest with ``arguments`` and is counted case by case."""
    report = REPORTS / f"{name.replace(' ', '-')}.xml"
    argv = [str(python / "python"), "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    return Check(name, argv, report, environment)


def lint() -> list[Check]:
    """Return every static gate."""
    return [
        Check("ruff check", [f"{BIN}/ruff", "check"]),
        Check("ruff format", [f"{BIN}/ruff", "format", "--check"]),
        Check("mypy --strict", ["scripts/typecheck"]),
        Check("import-linter", [f"{BIN}/lint-imports", "pyproject.toml"]),
        Check("yamllint", [f"{BIN}/yamllint", "--strict", "."]),
        Check("ansible-lint", [f"{BIN}/ansible-lint", "--offline", "--strict"]),
        Check("antsibull-docs", ["scripts/docs-lint"]),
        # Without the programs shellcheck and pyflakes, which a machine has or has not.
        Check("actionlint", [f"{BIN}/actionlint", "-no-color", "-shellcheck=", "-pyflakes="]),
        Check("zizmor", [f"{BIN}/zizmor", "--offline", "--no-progress", "--quiet", ".github"]),
    ]


def sanity() -> list[Check]:
    """Return the checks that Ansible asks of every collection."""
    skip, oldest = [f"--skip-test={name}" for name in STYLE], {"VENV": ".venv-oldest"}
    return [
        Check("ansible-test sanity", ["scripts/sanity"]),
        Check("ansible-test sanity on the oldest core", ["scripts/sanity", *skip], environment=oldest),
    ]


def unit() -> list[Check]:
    """Return the unit tests and those of the page in a browser.

    What touches Ansible is tested on both supported ends of ansible-core. The library imports nothing of
    Ansible, so only the version of Python can matter to it. Its tests run once, on the oldest core's Python:
    3.11 is the nearest here to the 3.9 of old hosts. Sanity imports every file on each Python from 3.9 on.
    """
    oldest = ["tests/unit/plugins", *(f"--ignore={path}" for path in SCENARIOS)]
    library = [path for path in sorted(LIBRARY.iterdir()) if path.name not in BY_ANSIBLE]
    return [
        pytest("unit", *BOTH_CORES, "tests/unit", "tests/quality", *(f"--ignore={path}" for path in library)),
        pytest("browser", "tests/browser"),
        pytest("unit on the oldest core", *BOTH_CORES, *oldest, python=OLDEST),
    ]


def faults() -> list[Check]:
    """Return the tests that kill, truncate, fill disks and lie."""
    return [pytest("faults", "tests/faults")]


def sandbox() -> list[Check]:
    """Return the tests of the sandbox on a host with real programs, which they start."""
    return [pytest("sandbox", "tests/sandbox")]


def kernel() -> list[Check]:
    """Return the tests on a host with a kernel of its own, which they boot."""
    return [pytest("kernel", "tests/kernel")]


def testbed(command: str, world: str, *options: str) -> Check:
    """Return a check that starts or stops a world of the testbed."""
    argv = [f"{BIN}/python", "-m", "testbed", command, "--world", world, *options]
    return Check(f"testbed {command} {world}", argv)


def scenario(name: str, world: str) -> Check:
    """Return a check that runs a molecule scenario in ``world``.

    Its testinfra cases are counted.
    """
    report = REPORTS / f"molecule-{name}.xml"
    environment = {
        "COLDVOX_WORLD": world,
        # Two scenarios that run at once must not share molecule's state.
        "MOLECULE_EPHEMERAL_DIRECTORY": str(CHECKOUT / ".testbed/molecule" / world),
        "PYTEST_ADDOPTS": f"--junitxml={CHECKOUT / report}",
    }
    argv = [f"{BIN}/molecule", "test", "--scenario-name", name, "--destroy=never", *PLAIN]
    return Check(f"molecule {name}", argv, junit=report, environment=environment)


def converge(world: str) -> Check:
    """Return a check that brings the laptop of ``world`` to its pool, as a user does."""
    sources = [f"inventories/{name}" for name in ("production", "sandbox")] + [f"molecule/inventory/{world}"]
    inventory = [word for source in sources for word in ("-i", source)]
    return Check(f"site {world}", [f"{BIN}/ansible-playbook", *inventory, "site.yml", "-l", "laptop-extra"])


def roles() -> list[Check]:
    """Return a scenario per role, then the tests of jobs that try to do harm."""
    scenarios = [scenario(name, "roles") for name in ROLES]
    many = pytest("many hosts", str(MANY_HOSTS), COLDVOX_WORLD="roles")
    jobs = [pytest(path.stem, str(path), COLDVOX_WORLD="roles") for path in JOBS]
    tests = [*scenarios, many, converge("roles"), *jobs]
    return [testbed("up", "roles", "--fresh"), *tests, testbed("down", "roles")]


def site() -> list[Check]:
    """Return the scenario from bare hosts to a pool, and the tests of its hosts."""
    converged = pytest(
        "converged world", "tests/world", *(f"--ignore={path}" for path in (MANY_HOSTS, *JOBS))
    )
    return [
        testbed("up", "test", "--fresh"),
        scenario("playbook_site", "test"),
        converged,
        testbed("down", "test"),
    ]


STAGES: dict[str, Callable[[], list[Check]]] = {
    "lint": lint,
    "unit": unit,
    "faults": faults,
    "sandbox": sandbox,
    "kernel": kernel,
    "sanity": sanity,
    "roles": roles,
    "site": site,
}
