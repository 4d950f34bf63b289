"""Everything that the worlds share: images, packages, artifacts, API description."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from testbed import prepare
from testbed.base_image import base_choice, ensure_pulled
from testbed.docker_engine import Machine
from testbed.images import (
    FEDORA_IMAGE,
    ensure_base_and_recipes,
    ensure_image,
    fedora_recipe,
    kernel_recipe,
)
from testbed.parallel import side_by_side
from testbed.paths import Paths
from testbed.progress import Progress
from testbed.rpm_catalogue import load_catalogue
from testbed.rpm_repository import ensure_repository
from testbed.world import KERNEL_IMAGE, locked


@dataclasses.dataclass
class Images:
    """The name of each host image."""

    tags: dict[str, str] = dataclasses.field(default_factory=dict)


def ensure_caches(
    machine: Machine, paths: Paths, model_mib: int, progress: Progress, *, own_kernel: bool = False
) -> Images:
    """Bring everything that the worlds share up to date, in parallel.

    It returns quickly when nothing changed. ``own_kernel`` asks for the image of the world ``kernel``, too.
    """
    images = Images()
    with locked(
        paths.lock("cache"), lambda pid: progress.line("caches", f"waiting for process {pid} to finish")
    ):
        digest = prepare.source_digest(model_mib)
        work: list[Callable[[], None]] = [lambda: ensure_images(machine, paths, progress, images, own_kernel)]
        if not prepare.is_prepared(paths, digest):
            work.append(lambda: prepare.prepare_github(paths, progress))
            work.append(lambda: prepare.prepare_mirror(paths, model_mib, progress))
        side_by_side(work)
        prepare.mark_prepared(paths, digest)
    return images


def ensure_images(
    machine: Machine, paths: Paths, progress: Progress, images: Images, own_kernel: bool
) -> None:
    """Build the host images and the RPM repository that goes with them."""
    catalogue = load_catalogue()
    choice = base_choice()
    recipes = ensure_base_and_recipes(choice, machine, catalogue, paths, progress)
    if choice.way == "registry":
        ensure_pulled(FEDORA_IMAGE, paths, progress)
        recipes["nobara-host"] = fedora_recipe()
    if own_kernel:
        recipes[KERNEL_IMAGE] = kernel_recipe(recipes["debian-host"].tag, choice.mirror)
    for name, recipe in recipes.items():
        ensure_image(recipe, paths, progress)
        images.tags[name] = recipe.tag
    ensure_repository(catalogue, recipes["rpm-tools"], paths, progress)
