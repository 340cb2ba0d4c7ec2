"""The options of `kindred index`, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import AllowCode, MaxPixels, RunsOn, Settings, Workers, chosen_recipe

if TYPE_CHECKING:
    from kindred.describer import DescriberOptions
    from kindred.library.pruning import Prune
    from kindred.recipe import Recipe

__all__ = ["FileOptions", "RecipeOptions", "WorkOptions"]


@dataclass(frozen=True)
class RecipeOptions:
    """How images are described."""

    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="NAME|FILE",
            help="Recipe for computing descriptors; see `kindred recipes`. Default: the recipe of the library, or "
            "kin for a new one.",
        ),
    ] = None
    settings: Settings = None
    allow_code: AllowCode = False

    def chosen(self) -> Recipe | None:
        """Return the recipe, None if no option names one; raises RecipeError or UsageError if it is not valid."""
        from kindred.recipe import DEFAULT_RECIPE

        if self.recipe is None and not self.settings:
            return None
        return chosen_recipe(self.recipe or DEFAULT_RECIPE, self.settings, allow_code=self.allow_code)


@dataclass(frozen=True)
class FileOptions:
    """Which files are described, and which images are removed."""

    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="GLOB",
            help="Exclude files and folders whose name matches (*.png, drafts) or, with a slash, whose path below "
            "FOLDER matches (2019/*); repeatable.",
        ),
    ] = None
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Also remove the images of FOLDER whose files no longer exist. As a precaution against an unmounted "
            "disk, nothing is removed if FOLDER is empty or on another device than before, or if more than a tenth of "
            "its images (and more than 20) are missing.",
        ),
    ] = False
    prune_all: Annotated[
        bool,
        typer.Option(
            "--prune-all", help="Remove every image of FOLDER whose file is missing, without this precaution."
        ),
    ] = False
    force: Annotated[bool, typer.Option("--force", help="Describe every image again, even if it has not changed.")] = (
        False
    )

    @property
    def mode(self) -> Prune:
        """What happens to images whose files are missing."""
        return "all" if self.prune_all else "gone" if self.prune else "keep"


@dataclass(frozen=True)
class WorkOptions:
    """What describes the images, and with what."""

    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Share the work with the other processes that run this command on the same library, on any machines: "
            "each image is described once. Needs a library on a server.",
        ),
    ] = False
    executor: Annotated[
        str,
        typer.Option(
            "--executor",
            metavar="NAME",
            help="What describes the images: local, this process; ray, the Ray cluster of this machine, or one that is "
            "started for the run; ray://HOST:PORT. A worker of Ray has as many cores as --workers says, by default 4.",
        ),
    ] = "local"
    device: RunsOn = None
    workers: Workers = None
    max_pixels: MaxPixels = None

    def describer(self) -> DescriberOptions:
        """Return the options of the describer."""
        from kindred.describer import DescriberOptions

        return DescriberOptions(self.device, self.workers, self.max_pixels)
