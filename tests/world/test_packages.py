"""Packages of converged hosts, judged by rpm, dnf, dpkg, apt and Debian's mirror."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests._support.package_names import names

from .conftest import CHECKOUT, Outcome, Play

Shell = Callable[..., str]
LISTS = {
    "laptop-extra": "rpm -qa --qf '%{NAME}\\n'",
    "debian-builder": "dpkg-query -W -f '${db:Status-Status} ${Package}\\n' | sed -n 's/^installed //p'",
}
REMOVAL = """\
- hosts: runners
  become: true
  gather_facts: true
  gather_subset: ["!all", "!min", distribution, pkg_mgr]
  tasks:
    - ansible.builtin.include_role:
        name: coldvox.ci.system_packages
        tasks_from: remove
"""
#: A package of the user that needs a package of the role.
REPORT = """\
rm -rf /tmp/my-report && mkdir -p /tmp/my-report/DEBIAN
printf '%s\\n' 'Package: my-report' 'Version: 1' 'Architecture: all' 'Maintainer: x' 'Description: x' \\
    'Depends: jq' > /tmp/my-report/DEBIAN/control
dpkg-deb --build /tmp/my-report && dpkg --install /tmp/my-report.deb
"""
#: The mirror moves on after the host read its lists: the host knows a file that the mirror no longer has.
STALE_DNF = """\
set -e
dnf -q clean all
mkdir -p /tmp/stale/rpm/repodata
python3 - << 'END'
import hashlib, pathlib, re, subprocess, urllib.request
base, root = "http://mirror.testbed:8081/rpm/", pathlib.Path("/tmp/stale/rpm")
read = lambda path: urllib.request.urlopen(base + path).read()
repomd = read("repodata/repomd.xml").decode()
for part in re.findall(r"<data .*?</data>", repomd, re.S):
    href = re.search(r'href="([^"]+)"', part)[1]
    if 'type="primary"' not in part:
        (root / href).write_bytes(read(href))
        continue
    packed = read(href)
    unpack = "gzip" if href.endswith(".gz") else "/usr/lib/coldvox-testbed/usr/bin/zstd"
    text = subprocess.run([unpack, "-dc"], input=packed, capture_output=True, check=True).stdout
    text = text.replace(b'href="htop-', b'href="earlier/htop-')
    (root / "repodata/primary.xml").write_bytes(text)
    digest = hashlib.sha256(text).hexdigest()
    fresh = re.sub(r'href="[^"]+"', 'href="repodata/primary.xml"', part)
    fresh = re.sub(r">[0-9a-f]{64}<", f">{digest}<", fresh)
    fresh = re.sub(r"<(open-)?size>\\d+<", lambda match: f"<{match[1] or ''}size>{len(text)}<", fresh)
    repomd = repomd.replace(part, fresh)
(root / "repodata/repomd.xml").write_text(repomd)
END
cp /etc/hosts /tmp/hosts.before
python3 -m http.server --directory /tmp/stale --bind 127.0.0.1 8081 > /dev/null 2>&1 & server=$!
sed 's/^.*mirror.testbed.*$/127.0.0.1 mirror.testbed/' /tmp/hosts.before > /etc/hosts
for _attempt in 1 2 3 4 5; do dnf -q makecache && break; sleep 1; done
cat /tmp/hosts.before > /etc/hosts
kill $server
! dnf -q -y install htop
"""
STALE_APT = """\
set -e
cd /var/lib/apt/lists
grep -l '^Package: htop$' *_Packages > /dev/null
sed -i '/^Package: htop$/,/^$/s,^Filename: ,Filename: earlier/,' *_Packages
# Without this apt would see that the mirror's list is the one that it has.
sed -i '/^ [0-9a-f]\\{64\\} /s/[0-9a-f]\\{8\\} /00000000 /' *_InRelease
touch --date=@1 *_InRelease
rm -f /var/cache/apt/*.bin
rm -f /var/lib/apt/periodic/update-success-stamp
touch .
! apt-get -q -y install htop
"""


@pytest.fixture
def removal(play: Play, tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """Return a function that removes sets from a host; the next converge restores them."""
    book = tmp_path / "removal.yml"
    book.write_text(REMOVAL)
    touched: set[str] = set()

    def run(host: str, *sets: str, extra: tuple[str, ...] = (), check: bool = False) -> Outcome:
        touched.add(host)
        wish = {"system_packages_sets": sets, "system_packages_extra": extra}
        more = ("--check",) if check else ()
        return play("-l", host, "-e", json.dumps(wish), *more, playbook=str(book))

    yield run
    assert play("-l", ",".join(touched), "--tags", "system_packages").status == 0


def installed(shell: Shell, host: str) -> set[str]:
    return set(shell(LISTS[host], host=host).split())


def test_removal_on_fedora_keeps_what_others_need_and_what_was_there(
    shell: Shell, removal: Callable[..., Outcome]
) -> None:
    shell("dnf -q -y install akmods tree")
    try:
        before = installed(shell, "laptop-extra")
        assert {"akmods", "tree", "gcc", "make", "cmake", "ninja-build"} <= before
        predicted = removal("laptop-extra", "build", extra=("tree",), check=True)
        assert predicted.changed == {"laptop-extra": 1}, predicted.output[-4000:]
        assert installed(shell, "laptop-extra") == before
        outcome = removal("laptop-extra", "build", extra=("tree",))
        gone = before - installed(shell, "laptop-extra")
        assert {"cmake", "ninja-build", "gettext"} <= gone < names("dnf", "42")
        assert {"akmods", "tree", "gcc", "make"}.isdisjoint(gone)
        assert "akmods-" in outcome.output
        assert removal("laptop-extra", "build").changed == {"laptop-extra": 0}
    finally:
        shell("dnf -q -y --setopt=clean_requirements_on_remove=False remove akmods tree")


def test_removal_on_debian_keeps_what_others_need(shell: Shell, removal: Callable[..., Outcome]) -> None:
    host = "debian-builder"
    shell(REPORT, host=host)
    try:
        before = installed(shell, host)
        outcome = removal(host, "tools")
        assert before - installed(shell, host) == {"bc", "ripgrep", "fd-find", "bat"}, outcome.output[-4000:]
        assert "my-report" in outcome.output
    finally:
        shell("dpkg --remove my-report", host=host)


@pytest.mark.parametrize(
    ("host", "extra", "planned"),
    [
        ("laptop-extra", ["@c-development", "htop"], ["@c-development", "automake", "bison", "htop"]),
        ("debian-builder", ["htop"], ["htop"]),
    ],
)
def test_validate_only_names_packages_and_groups_and_changes_nothing(
    play: Play, shell: Shell, host: str, extra: list[str], planned: list[str]
) -> None:
    before = installed(shell, host)
    wish = {"system_packages_extra": extra, "system_packages_validate_only": True}
    outcome = play("-l", host, "--tags", "system_packages", "-e", json.dumps(wish))
    assert outcome.status == 0, outcome.output[-4000:]
    assert outcome.changed == {host: 0}
    for name in planned:
        assert f'"{name}"' in outcome.output
    assert installed(shell, host) == before


@pytest.mark.parametrize(("host", "stale"), [("laptop-extra", STALE_DNF), ("debian-builder", STALE_APT)])
def test_converge_repeats_a_transaction_whose_lists_were_stale(
    play: Play, shell: Shell, host: str, stale: str
) -> None:
    shell(stale, host=host)
    wish = json.dumps({"system_packages_extra": ["htop"]})
    outcome = play("-l", host, "--tags", "system_packages", "-e", wish)
    assert outcome.status == 0, outcome.output[-4000:]
    assert "system_packages : again" in outcome.output
    assert "htop" in installed(shell, host)
    shell("dnf -q -y remove htop" if host == "laptop-extra" else "apt-get -q -y remove htop", host=host)


def test_dry_run_without_the_library_of_apt_predicts(play: Play, shell: Shell) -> None:
    host = "debian-builder"
    shell("apt-get -q -y remove python3-apt", host=host)
    wish = json.dumps({"system_packages_extra": ["htop"], "system_packages_validate_only": True})
    outcome = play("-l", host, "--tags", "system_packages", "-e", wish)
    assert outcome.status == 0, outcome.output[-4000:]
    assert "debian-builder lacks package lists, or the Python library" in outcome.sentence
    assert "python3-apt" not in installed(shell, host)
    # A real run installs it by itself.
    assert play("-l", host, "--tags", "system_packages").status == 0
    assert "python3-apt" in installed(shell, host)


@pytest.fixture(scope="module")
def debian(shell: Shell) -> dict[str, set[str]]:
    """Return the real packages of Debian 12 and 13, from its mirror."""
    return {
        release: set(shell(DEBIAN.format(codename=codename), host="debian-builder").split())
        for release, codename in (("12", "bookworm"), ("13", "trixie"))
    }


DEBIAN = """\
set -e
dir=$(mktemp -d)
mkdir -p $dir/lists/partial
mirror=$(grep -rhoE 'https?://[^ ]+' /etc/apt/sources.list* 2> /dev/null | head -n 1)
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror {codename} main" > $dir/sources.list
apt() {{
    program=$1
    shift
    $program -o Dir::Etc::SourceList=$dir/sources.list -o Dir::Etc::SourceParts=/dev/null \\
        -o Dir::State::Lists=$dir/lists -o Dir::State::status=/dev/null -o Dir::Cache=$dir "$@"
}}
apt apt-get -qq update
apt apt-cache dumpavail | sed -n 's/^Package: //p'
rm -r $dir
"""


@pytest.mark.parametrize("release", ["12", "13"])
def test_names_are_packages_of_debian(debian: dict[str, set[str]], release: str) -> None:
    assert len(debian[release]) > 50_000
    assert names("apt", release) - debian[release] == set()


@pytest.mark.parametrize("release", ["24", "26"])
def test_names_of_ubuntu_are_known_or_come_from_debian(debian: dict[str, set[str]], release: str) -> None:
    """Ubuntu imports Debian's packages, so a name that Debian had before and after exists in between."""
    lines = (CHECKOUT / "testbed/names/ubuntu.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    seen = {name for name, releases, _source in rows if release in releases.split()}
    # The kernel's programs have names of their own.
    imported = (debian["12"] & debian["13"]) - {"linux-perf"}
    assert names("apt", release) - seen - imported == set()
