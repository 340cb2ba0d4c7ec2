"""`kindred serve`: the page and the HTTP API of a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kindred.cli.options import DEFAULT_LIBRARY, LibraryPlace, RunsOn, Workers
from kindred.cli.output import note, say
from kindred.errors import MissingExtra, UsageError

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
        typer.Option("--folder", metavar="DIR", help="A folder that may be indexed from the page; repeatable."),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change of the library.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    device: RunsOn = None,
    workers: Workers = None,
) -> None:
    """Open a library in the browser: search, explore, find duplicates and manage it; with an HTTP API for programs.

    The server runs until it is stopped with Ctrl-C. Without further options only this machine can reach it. Images
    are never sent anywhere else.
    """
    try:
        from kindred.server.running import run_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] in ("fastapi", "starlette", "uvicorn", "pydantic", "python_multipart"):
            raise MissingExtra("kindred serve", "serve") from error
        raise
    from kindred.describer import DescriberOptions
    from kindred.library import Library, absolute
    from kindred.server.settings import ServerSettings

    allowed = tuple(absolute(folder) for folder in folders or ())
    if missing := [folder for folder in allowed if not folder.is_dir()]:
        raise UsageError(f"--folder {missing[0]}: no such folder")
    secret = _new_token() if token == "new" else token
    settings = ServerSettings(
        host=host, port=port, token=secret, hosts=tuple(names or ()), folders=allowed, read_only=read_only
    )
    opened = Library.open(library, options=DescriberOptions(device, workers, None))

    def ready(address: str) -> None:
        say(f"Kindred is at {address}")
        note("Stop it with Ctrl-C.")
        if open_page:
            import webbrowser

            webbrowser.open(address)

    run_server(opened, settings, ready=ready)


def _new_token() -> str:
    import secrets

    return secrets.token_urlsafe(24)
