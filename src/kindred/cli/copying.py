"""`kindred copy` and `kindred verify`: a library in another place, and whether it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary, IndexAddress, place_named
from kindred.cli.output import counted, print_json, say, shown, typed
from kindred.cli.progress import Meter
from kindred.cli.running import FAILED, interruptible

if TYPE_CHECKING:
    from kindred.library.verifying import Phase, VerifyReport
    from kindred.store import Place

    OptionalPlace = Place | None
else:
    Place = OptionalPlace = object  # as in `kindred.cli.options`

__all__ = ["copy", "verify"]

MOST_SHOWN = 5
"""Buckets, and damaged images, that are listed."""
PLACE = "A folder, or an address such as postgresql://HOST/DATABASE?library=NAME."


def copy(
    source: Annotated[Place, typer.Argument(metavar="LIBRARY", parser=place_named, help=f"The library. {PLACE}")],
    target: Annotated[Place, typer.Argument(metavar="COPY", parser=place_named, help=f"Where to copy it. {PLACE}")],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy a library to a server or folder without describing again.

    Images keep their ids, tags and metadata. After an interrupt the same command goes on; later, it brings the copy up
    to date with the library, also by removing images.
    """
    from kindred.library.copying import copy_library

    with (
        interruptible("the images copied so far are saved: run the same command again to continue"),
        Meter("Copying", unit="images", quiet=as_json) as meter,
    ):
        report = copy_library(source, target, progress=meter.update)
    if as_json:
        from kindred.service import CopyForm

        print_json(CopyForm.of(report))
        return
    more = f"; {counted(report.unchanged, 'image')} had been copied before" if report.unchanged else ""
    gone = f", {counted(report.removed, 'image')} removed" if report.removed else ""
    skipped = f" The reasons of {counted(report.skipped, 'skipped file')} are in the copy." if report.skipped else ""
    say(f"Copied {counted(report.copied, 'image')}{gone}{more}.{skipped}")
    say(f"Next: kindred verify --library {typed(target)} --with {typed(source)}", gap=True)


def verify(
    *,
    library: ExistingLibrary = DEFAULT_LIBRARY,
    other: Annotated[
        OptionalPlace,
        typer.Option(
            "--with", metavar="DIR|URL", parser=place_named, help="A copy, or the library it was copied from."
        ),
    ] = None,
    queries: Annotated[
        int, typer.Option("--queries", min=1, max=100_000, metavar="N", help="Rankings to check.")
    ] = 200,
    index: IndexAddress = None,
    as_json: AsJson = False,
) -> None:
    """Check that a library finds its images and a copy is complete.

    Reads all vectors, local features and their visual words, and names the images whose own are missing or damaged.
    Compares counts, checksums of all images by bucket of their ids, and rankings. Exit code 1 if something is wrong.
    """
    from contextlib import ExitStack

    from kindred.library import Library
    from kindred.library.verifying import verify_library

    with ExitStack() as stack:
        opened = stack.enter_context(Library.open(library, index=index))
        second = None if other is None else stack.enter_context(Library.open(other))
        meter = stack.enter_context(Meter("Verifying", quiet=as_json))

        def progress(phase: Phase, done: int, total: int) -> None:
            meter.stage(phase.title, done, total, unit=phase.unit)

        report = verify_library(opened, second, queries=queries, progress=progress)
    if as_json:
        from kindred.service import VerifyForm

        print_json(VerifyForm.of(report))
    else:
        _print(report)
    if not report.sound:
        raise typer.Exit(FAILED)


def _print(report: VerifyReport) -> None:
    read = "all readable" if not report.unreadable else f"{report.unreadable:,} of them not readable"
    say(f"{_numbers(report.images, report.skipped)}, {counted(report.vectors, 'vector')}, {read}.")
    for image in report.damaged[:MOST_SHOWN]:
        say(f"{shown(image.path)}: {image.reason}.")
    if len(report.damaged) > MOST_SHOWN:
        say(f"{counted(len(report.damaged) - MOST_SHOWN, 'more damaged image')}.")
    if report.without_features:
        say(
            f"{counted(report.without_features, 'image')} without local features, so that results cannot be verified "
            "with them: kindred index --force describes them again."
        )
    if report.recall is not None:
        say(f"{counted(report.queries, 'ranking')} found {100 * report.recall:.1f} % of the results of exact search.")
    if report.others is not None:
        say(f"The other library has {_numbers(*report.others)}.")
    for each in report.unlike[:MOST_SHOWN]:
        here, there = (_numbers(*numbers) for numbers in zip(each.images, each.skipped, strict=True))
        say(f"Bucket {each.bucket} of the ids differs: {here} here; {there} in the other library.")
    if len(report.unlike) > MOST_SHOWN:
        say(f"{len(report.unlike) - MOST_SHOWN} more buckets differ.")
    if report.same_rankings is not None:
        say(f"{100 * report.same_rankings:.1f} % of the rankings are the same in the other library.")
    say(_advice(report))


def _numbers(images: int, skipped: int) -> str:
    """Return "6 images and 2 skipped files"."""
    return counted(images, "image") + (f" and {counted(skipped, 'skipped file')}" if skipped else "")


def _advice(report: VerifyReport) -> str:
    if report.sound:
        return "Nothing is wrong."
    if report.related is False:
        return "No image has its id in both: these are no copies, which kindred copy makes, and cannot be compared."
    # Copying again transfers what has changed since in the library, and cannot see what was damaged in the copy.
    if report.others is not None:
        return "Something is wrong: copy again; if it is still wrong, copy to a new place."
    if report.damaged:
        return "Something is wrong: describe the damaged images with kindred index FILE --force, and verify again."
    return "Something is wrong: index into a new library."
