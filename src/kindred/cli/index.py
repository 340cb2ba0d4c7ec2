"""`kindred index`: index folders of images, or the demo collection."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.groups import with_groups
from kindred.cli.index_options import FileOptions, RecipeOptions, WorkOptions
from kindred.cli.options import DEFAULT_LIBRARY, AsJson, IndexAddress, LibraryPlace, Verbose, place_named
from kindred.cli.output import columns, counted, duration, grouped, print_json, say, shown, typed
from kindred.cli.progress import Meter
from kindred.cli.running import interruptible
from kindred.errors import UsageError

if TYPE_CHECKING:
    from kindred.describer import DescriberOptions
    from kindred.images import ImageScan, LeftOut
    from kindred.library import Library
    from kindred.library.indexing import IndexProgress, IndexReport
    from kindred.library.pruning import Prune
    from kindred.store import Place
    from kindred_demo import DemoCollection

__all__ = ["index", "index_demo"]

DEMO = Path("kindred-demo")


@with_groups
def index(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...",
            help="Folders of images (searched recursively), single files, or addresses of object stores, such as "
            "s3://BUCKET/FOLDER. Default: a demo collection is created.",
            show_default=False,
        ),
    ] = None,
    *,
    library: LibraryPlace = DEFAULT_LIBRARY,
    describing: RecipeOptions,
    files: FileOptions,
    address: IndexAddress = None,
    work: WorkOptions,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Index folders of images, or bring their index up to date.

    Unchanged files are recognised quickly, so the command can be repeated as often as needed. Files that cannot be
    used are listed with the reason and do not stop the run. Files of other types, and folders that other programs
    create for their own use (@eaDir, #recycle, *.photoslibrary and similar), are excluded and counted. Without FOLDER,
    a demo collection of a few hundred images is rendered into ./kindred-demo and indexed.

    Remote files are recognised by their size and ETag, and credentials are found as the package of the object store
    finds them. A listing that fails or is empty is an error and removes nothing. Other commands read remote files only
    with kindred --remote ADDRESS COMMAND.
    """
    from kindred._support.remote_path import remote_path
    from kindred.images import allow_remote, find_images

    demo = None
    if not folders:
        _check_demo(library)
        demo = _render_demo(quiet=as_json)
        folders = [demo.photos]
    allow_remote(*filter(remote_path, folders))
    scan = find_images(folders, exclude=files.exclude or [])  # raises for a missing folder, before a library is created
    opened = _opened(library, describing, work.describer(), index=address, scan=scan)
    if opened is None:
        _report_nothing(scan, folders, library, verbose=verbose, as_json=as_json)
        return
    with opened:
        report = _run(opened, folders, files, work, quiet=as_json)
        if as_json:
            from kindred.service import IndexForm

            print_json(IndexForm.of(report))
            return
        print_summary(report, opened, folders, prune=files.mode, verbose=verbose)
    if demo is not None:
        print_next(library, f"{typed(demo.example)} --html results.html")
    elif report.indexed:
        print_next(library, "IMAGE")


def _opened(
    path: Place, describing: RecipeOptions, options: DescriberOptions, *, scan: ImageScan, index: str | None = None
) -> Library | None:
    """Open the library, or create it if there is none and a file is found to index; else return None."""
    from kindred.errors import LibraryError, LibraryNotFound
    from kindred.library import Library
    from kindred.recipe import DEFAULT_RECIPE

    wanted, allow_code = describing.chosen(), describing.allow_code
    try:
        return Library.open(path, recipe=wanted, options=options, allow_code=allow_code, index=index)
    except LibraryNotFound:
        if not any(found.reason is None for found in scan):
            return None
        try:
            return Library.create(path, recipe=wanted or DEFAULT_RECIPE, options=options, index=index)
        except LibraryError:
            with suppress(LibraryNotFound):  # another process may have created it meanwhile
                return Library.open(path, recipe=wanted, options=options, allow_code=allow_code, index=index)
            raise


def _report_nothing(scan: ImageScan, folders: list[Path], library: Place, *, verbose: bool, as_json: bool) -> None:
    """Report that there is no file to index, and therefore no library."""
    from kindred.library.indexing import IndexReport

    skipped = [(found.path, found.reason) for found in scan if found.reason is not None]
    report = IndexReport(found=len(skipped), skipped=skipped, left_out=scan.left_out)
    if as_json:
        from kindred.service import IndexForm

        print_json(IndexForm.of(report))
        return
    say(f"No images in {', '.join(map(shown, folders))}: no library was created at {shown(library)}.")
    _print_skipped(report, verbose=verbose)
    _print_left_out(report.left_out, verbose=verbose)


def _print_skipped(report: IndexReport, *, verbose: bool) -> None:
    """Report the files that could not be used."""
    if report.skipped:
        say(f"Skipped {counted(len(report.skipped), 'file')}:")
        say(grouped(report.skipped, verbose=verbose))


def _print_left_out(left_out: LeftOut, *, verbose: bool) -> None:
    """Report the files and folders that were excluded."""
    if left_out:
        say(f"Excluded {left_out}.")
        if verbose and left_out.named:
            say(columns([("  folder", shown(path)) for path in left_out.named]))


def _run(opened: Library, folders: list[Path], files: FileOptions, work: WorkOptions, *, quiet: bool) -> IndexReport:
    advice = "the images indexed so far are saved: run the same command again to continue"
    with interruptible(advice), Meter("Indexing", quiet=quiet) as meter:

        def progress(here: IndexProgress, total: int) -> None:
            meter.update(here.seen, total, aside=f"{here.skipped:,} skipped" if here.skipped else "")

        return opened.index(
            folders,
            exclude=files.exclude or [],
            prune=files.mode,
            force=files.force,
            progress=progress,
            shared=work.shared,
            executor=work.executor,
        )


def print_summary(report: IndexReport, opened: Library, folders: list[Path], *, prune: Prune, verbose: bool) -> None:
    took = duration(report.seconds)
    if not report.found:
        say(f"No images in {', '.join(map(shown, folders))}.")
    elif report.indexed:
        pace = f", {report.images_per_second:.0f} per second" if report.indexed >= 10 else ""
        same = f"; {counted(report.unchanged, 'image')} had not changed" if report.unchanged else ""
        say(f"Indexed {counted(report.indexed, 'image')} in {took}{pace}{same}.")
    elif report.unchanged:
        say(f"Nothing new: {counted(report.unchanged, 'image')} had not changed ({took}).")
    elif not (report.moved or report.skipped):  # found by another process of a shared run
        say(f"Other processes described all {counted(report.found, 'file')} ({took}).")
    if report.moved:
        say(f"{counted(report.moved, 'image')} moved or renamed: id, tags and metadata are retained.")
    _print_missing(report, prune)
    _print_skipped(report, verbose=verbose)
    if report.notes:
        say(f"{counted(len(report.notes), 'file')} with several frames or pages, of which one was described:")
        say(grouped(report.notes, verbose=verbose))
    _print_left_out(report.left_out, verbose=verbose)
    say(f"The library {shown(opened.place)} contains {counted(len(opened), 'image')}.")


def _print_missing(report: IndexReport, prune: Prune) -> None:
    """Report the images whose files are missing."""
    if prune != "keep" and (report.removed or not report.missing):
        say(f"Removed {counted(report.removed, 'image')} (files missing).")
    left = report.missing - report.removed
    if not left:
        return
    files = f"The {'file' if left == 1 else 'files'} of {counted(left, 'image')} {'is' if left == 1 else 'are'} missing"
    why = shown("; ".join(report.held))
    if prune == "keep":
        option = f"--prune-all to remove them (--prune would not: {why})" if why else "--prune to remove them"
        say(f"{files}; use {option}, or kindred move OLD NEW if the folder has moved.")
        return
    say(f"{files}, and none of them were removed: {why}. Use --prune-all to remove them anyway.")


def print_next(library: Place, arguments: str) -> None:
    import os

    known = library == place_named(os.environ.get("KINDRED_LIBRARY") or DEFAULT_LIBRARY)
    say(f"Next: kindred search {arguments}{'' if known else f' --library {typed(library)}'}", gap=True)


def _check_demo(library: Place) -> None:
    """Refuse to add the demo collection to a library of the user's own images."""
    from kindred.errors import LibraryNotFound
    from kindred.library import Library

    try:
        with Library.open(library) as opened:
            drawn = sum(1 for _ in opened.store.paths_under((DEMO / "photos").absolute()))
            images = opened.store.counts().images
    except LibraryNotFound:
        return
    if images > drawn:
        raise UsageError(
            f"index: which folder? {shown(library)} is in use; name the folder of its images, "
            "or another library with --library for the demo collection"
        )


def _render_demo(*, quiet: bool) -> DemoCollection:
    from kindred_demo import render_demo

    advice = f"the images in {DEMO} are saved: run the same command again to continue"
    with interruptible(advice), Meter("Rendering the demo collection", unit="images", quiet=quiet) as meter:
        return render_demo(DEMO, progress=lambda done, total: meter.update(done, total))


def index_demo(library: Place, options: DescriberOptions) -> None:
    """Render the demo collection and index it into a library; raises UsageError if the library has other images."""
    from kindred.images import find_images

    _check_demo(library)
    folders = [_render_demo(quiet=False).photos]
    opened = _opened(library, RecipeOptions(), options, scan=find_images(folders))
    assert opened is not None  # the demo collection has images
    with opened:
        report = _run(opened, folders, FileOptions(), WorkOptions(), quiet=False)
        print_summary(report, opened, folders, prune="keep", verbose=False)
