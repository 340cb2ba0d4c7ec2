"""The list of commands; `kindred --help`, docs/cli.md and its test are derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer

from kindred._support.version import __version__
from kindred.cli.compare import compare
from kindred.cli.distill import distill
from kindred.cli.doctor import doctor
from kindred.cli.duplicates import duplicates
from kindred.cli.editing import move, remove, tag, untag
from kindred.cli.evaluate import evaluate
from kindred.cli.exchange import export_command, import_command
from kindred.cli.fit import fit
from kindred.cli.index import index
from kindred.cli.info import info
from kindred.cli.map import map_command
from kindred.cli.match import match
from kindred.cli.meta import meta
from kindred.cli.models import models
from kindred.cli.output import libraries_silenced, say, say_lines
from kindred.cli.recipes import recipes
from kindred.cli.running import finish
from kindred.cli.search import search
from kindred.cli.train import train

__all__ = ["app", "run"]

app = typer.Typer(
    name="kindred",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text can be piped and searched, and works on any terminal
    epilog="Getting started: kindred index FOLDER, then kindred search IMAGE.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(index)
app.command()(search)
app.command()(match)
app.command()(duplicates)
app.command("map")(map_command)
app.command()(info)
app.command()(tag)
app.command()(untag)
app.command()(remove)
app.command()(move)
app.add_typer(meta, name="meta")
app.command("export")(export_command)
app.command("import")(import_command)
app.command()(doctor)
app.add_typer(recipes, name="recipes")
app.add_typer(models, name="models")
app.command()(evaluate)
app.command()(compare)
app.command()(fit)
app.command()(train)
app.command()(distill)


@app.callback(invoke_without_command=True)
def kindred(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Find images of the same object or place: index a folder once, then search it by image."""
    if version:
        say(f"kindred {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say_lines(context.get_help())


def run(arguments: Sequence[str], *, alone: bool = False) -> int:
    """Run the command line `arguments`; return the exit code.

    `alone` means that the process does nothing else: with `--json`, the output of other libraries is then suppressed.
    """
    quiet = alone and "--json" in arguments and not {"--help", "-h"} & set(arguments)
    with libraries_silenced() if quiet else nullcontext():
        return finish(app, arguments)
