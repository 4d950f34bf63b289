"""The host images: one directory with a Dockerfile each, rebuilt after changes."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from testbed import docker_cli
from testbed.base_image import BaseChoice, ensure_base
from testbed.docker_engine import Machine
from testbed.paths import Paths
from testbed.process import capture
from testbed.progress import Progress
from testbed.rpm_catalogue import Catalogue
from testbed.wheels import ensure_wheels
from testbed.world import KERNEL_IMAGE

IMAGES_DIR = Path(__file__).parent / "images"
PREFIX = "coldvox-testbed"
#: The settings with which this machine reaches its package mirror; the hosts need them too.
APT_SETTINGS = (
    "Acquire::Check-Date",
    "Acquire::Check-Valid-Until",
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
)
FEDORA_IMAGE = "fedora:42"
#: The files that the fedora-host image shares with the Debian images.
SHARED_WITH_FEDORA = (
    "host-base/files/etc/sudoers.d/admin",
    "host-base/files/etc/ssh/sshd_config.d/testbed.conf",
    "nobara-host/files/usr/lib/os-release",
)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The inputs of an image.

    These are a directory with a Dockerfile, the base image, build arguments and generated files.
    """

    name: str
    base: str
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: Generated files, by their path in the build context.
    extra: Mapping[str, str] = dataclasses.field(default_factory=dict)
    directory: Path = IMAGES_DIR

    @property
    def context(self) -> Path:
        """The directory that holds the Dockerfile."""
        return self.directory / self.name

    @property
    def tag(self) -> str:
        """The image's name, with a digest over all its inputs."""
        digest = hashlib.sha256()
        for path in sorted(file for file in self.context.rglob("*") if file.is_file()):
            executable = bool(path.stat().st_mode & 0o100)
            digest.update(f"{path.relative_to(self.context)}\0{executable}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        inputs = {"base": self.base, **self.arguments, **self.extra}
        digest.update(repr(sorted(inputs.items())).encode())
        return f"{PREFIX}/{self.name}:{digest.hexdigest()[:12]}"


def recipes(base: str, catalogue: Catalogue, apt_settings: str) -> dict[str, Recipe]:
    """Return the recipe of every image by name, in the order to build them."""
    host_base = Recipe("host-base", base, extra={"files/etc/apt/apt.conf.d/90machine": apt_settings})
    nobara = Recipe(
        "nobara-host",
        host_base.tag,
        arguments={"DEBIAN_PACKAGES": " ".join(catalogue.debian_packages())},
        extra={"hidden_paths.txt": "".join(f"{path}\n" for path in catalogue.hidden_paths())},
    )
    debian = Recipe("debian-host", host_base.tag)
    tools = Recipe("rpm-tools", host_base.tag)
    return {recipe.name: recipe for recipe in (host_base, tools, nobara, debian)}


def fedora_recipe() -> Recipe:
    """Return the recipe of the laptop's image on Fedora."""
    shared = (Path(name) for name in SHARED_WITH_FEDORA)
    extra = {str(Path(*path.parts[1:])): (IMAGES_DIR / path).read_text(encoding="utf-8") for path in shared}
    return Recipe("fedora-host", FEDORA_IMAGE, extra=extra)


def kernel_recipe(debian_host: str, mirror: str) -> Recipe:
    """Return the recipe of the hosts with a kernel of their own (kernel.py)."""
    return Recipe(KERNEL_IMAGE, debian_host, arguments={"MIRROR": mirror})


def ensure_image(recipe: Recipe, paths: Paths, progress: Progress) -> None:
    """Build the image unless Docker has it."""
    if docker_cli.image_exists(recipe.tag):
        return
    with (
        tempfile.TemporaryDirectory(prefix="coldvox-image-") as scratch,
        progress.step("images", f"building {recipe.name}") as report,
    ):
        context = Path(scratch) / "context"
        shutil.copytree(recipe.context, context)
        fill(context, recipe, paths)
        arguments = {"BASE": recipe.base, **recipe.arguments}
        log = paths.logs / f"image-{recipe.name}.log"
        docker_cli.build(context, recipe.tag, arguments, log, lambda line: report(f"{recipe.name}: {line}"))
    remove_older(recipe, progress)


def fill(context: Path, recipe: Recipe, paths: Paths) -> None:
    """Add the generated files and the downloaded wheels to a build context."""
    for name, text in recipe.extra.items():
        target = context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    requirements = recipe.context / "requirements.txt"
    if requirements.exists():
        (context / "wheels").mkdir()
        for wheel in ensure_wheels(requirements, paths.cache):
            shutil.copy2(wheel, context / "wheels")


def remove_older(recipe: Recipe, progress: Progress) -> None:
    """Remove earlier builds of this image that no container uses."""
    name = recipe.tag.rpartition(":")[0]
    listed = docker_cli.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name)
    for tag in listed.stdout.split():
        if tag != recipe.tag and docker_cli.docker("image", "rm", tag).status == 0:
            progress.line("images", f"removed the outdated {tag}")


def remove_images(progress: Progress) -> None:
    """Remove every image of the testbed that no container uses."""
    listed = docker_cli.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{PREFIX}/*")
    for tag in listed.stdout.split():
        if docker_cli.docker("image", "rm", tag).status == 0:
            progress.line("images", f"removed {tag}")


def ensure_base_and_recipes(
    choice: BaseChoice, machine: Machine, catalogue: Catalogue, paths: Paths, progress: Progress
) -> dict[str, Recipe]:
    """Provide the base image and return the recipes that build on it."""
    base = ensure_base(choice, machine, paths, progress)
    return recipes(base, catalogue, machine_apt_settings())


def machine_apt_settings() -> str:
    """Return this machine's apt settings for reaching its mirror.

    The result is the text of an apt.conf file.
    """
    dumped = capture(["apt-config", "dump", *APT_SETTINGS])
    return select_apt_settings(dumped.stdout if dumped.status == 0 else "")


def select_apt_settings(dumped: str) -> str:
    """Return the lines of ``apt-config dump`` that are valid in a container.

    A proxy on loopback is not.
    """
    lines = []
    for line in dumped.splitlines():
        name, _, value = line.partition(" ")
        if name in APT_SETTINGS and value not in ('"";', "") and not any(host in value for host in LOOPBACK):
            lines.append(line + "\n")
    return "".join(lines)
