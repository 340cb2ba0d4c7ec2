"""`kindred serve`: the page and the HTTP API of a library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, IndexAddress, LibraryPlace, RunsOn, Workers
from kindred.cli.output import is_terminal, note, print_json_line, say, shown
from kindred.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from kindred.describer import DescriberOptions
    from kindred.library import Library
    from kindred.store import Place

__all__ = ["serve"]


def serve(
    *,
    library: LibraryPlace = DEFAULT_LIBRARY,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Address to listen on; others than those of this machine need --token."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, metavar="N", help="Port to listen on; 0: any free one.")
    ] = 7700,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            envvar="KINDRED_TOKEN",
            help="Secret that every request must carry, of at least 16 characters; `new` makes one and prints it.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name", metavar="HOST", help="A further name of this server, such as that of a proxy; repeatable."
        ),
    ] = None,
    folders: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="A folder, or a remote address, that may be indexed from the page; repeatable.",
        ),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change of the library.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Without a library: render the demo collection, index it and open that.")
    ] = False,
    index: IndexAddress = None,
    device: RunsOn = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Open a library in the browser, with an HTTP API for programs.

    The page searches, explores, finds duplicates and manages the library. The server runs until it is stopped with
    Ctrl-C. Without further options only this machine can reach it. Images are never sent anywhere else. If there is no
    library yet, the demo collection of a few hundred images is offered. With --json, the first line on standard output
    is the address, once connections are accepted.
    """
    try:
        from kindred.server.running import run_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("fastapi", "starlette", "uvicorn", "pydantic", "python_multipart"):
            raise MissingExtra("kindred serve", "serve") from error
        raise
    from kindred._support.remote_path import RemotePath
    from kindred.describer import DescriberOptions
    from kindred.images.remote import allow_remote
    from kindred.library import absolute
    from kindred.server.settings import ServerSettings

    allowed = tuple(absolute(folder) for folder in folders or ())
    remote = [folder for folder in allowed if isinstance(folder, RemotePath)]
    allow_remote(*remote)
    if missing := [folder for folder in allowed if folder not in remote and not folder.is_dir()]:
        raise UsageError(f"--folder {missing[0]}: no such folder")
    secret = _new_token() if token == "new" else token
    settings = ServerSettings(
        host=host, port=port, token=secret, hosts=tuple(names or ()), folders=allowed, read_only=read_only
    )
    opened = _opened(library, DescriberOptions(device, workers, None), index, demo=demo)

    def ready(address: str) -> None:
        if as_json:
            from kindred.service.facts import ServingForm

            print_json_line(ServingForm(address))
        else:
            say(f"Kindred is at {address}")
            note("Stop it with Ctrl-C.")
        if open_page:
            import webbrowser

            webbrowser.open(address)

    run_server(opened, settings, ready=ready)


def _opened(library: Place, options: DescriberOptions, index: str | None, *, demo: bool) -> Library:
    """Open a library; where there is none, make that of the demo collection if this was asked for or is agreed to."""
    from kindred.cli.index import index_demo
    from kindred.errors import LibraryNotFound
    from kindred.library import Library

    try:
        return Library.open(library, options=options, index=index)
    except LibraryNotFound:
        if not demo and not _agreed(library):
            raise UsageError(
                f"{shown(library)}: no library; index a folder first (kindred index FOLDER), "
                "or open a demo collection with kindred serve --demo"
            ) from None
    index_demo(library, options)
    return Library.open(library, options=options, index=index)


def _agreed(library: Place) -> bool:
    """Ask on a terminal whether to make the demo collection; anywhere else the answer is no."""
    import sys

    if not (sys.stdin is not None and sys.stdin.isatty() and is_terminal()):
        return False
    say(f"There is no library at {shown(library)} yet. kindred index FOLDER makes one of your own images.")
    return typer.confirm("Render a demo collection of a few hundred images now, and open it?", default=True)


def _new_token() -> str:
    import secrets

    return secrets.token_urlsafe(24)
