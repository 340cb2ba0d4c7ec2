"""The list of commands; `kindred --help`, docs/cli.md and its test are derived from it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup
from typer.main import get_group

from kindred._support.version import __version__
from kindred.cli.output import libraries_silenced, say, say_lines
from kindred.cli.running import finish

__all__ = ["COMMANDS", "app", "run"]

COMMANDS = {
    "index": "kindred.cli.index:index",
    "build-index": "kindred.cli.building:build_index",
    "search": "kindred.cli.search:search",
    "match": "kindred.cli.match:match",
    "duplicates": "kindred.cli.duplicates:duplicates",
    "map": "kindred.cli.map:map_command",
    "serve": "kindred.cli.serve:serve",
    "info": "kindred.cli.info:info",
    "tag": "kindred.cli.editing:tag",
    "untag": "kindred.cli.editing:untag",
    "remove": "kindred.cli.editing:remove",
    "move": "kindred.cli.editing:move",
    "meta": "kindred.cli.meta:meta",
    "export": "kindred.cli.exchange:export_command",
    "import": "kindred.cli.exchange:import_command",
    "copy": "kindred.cli.copying:copy",
    "verify": "kindred.cli.copying:verify",
    "doctor": "kindred.cli.doctor:doctor",
    "recipes": "kindred.cli.recipes:recipes",
    "models": "kindred.cli.models:models",
    "evaluate": "kindred.cli.evaluate:evaluate",
    "compare": "kindred.cli.compare:compare",
    "fit": "kindred.cli.fit:fit",
    "train": "kindred.cli.train:train",
    "distill": "kindred.cli.distill:distill",
}
"""Each command or group of commands, with the module of its function, in the order of the help text."""

STYLE: dict[str, Any] = {
    "rich_markup_mode": None,  # plain text can be piped and searched, and works on any terminal
    "pretty_exceptions_enable": False,
}


Command: TypeAlias = Any
"""A command as typer builds it, whose class is private."""


class _Commands(MutableMapping[str, Command]):
    """The commands by name, each imported and parsed at its first use: for all of them that takes 50 ms."""

    def __init__(self) -> None:
        self._homes, self._ready = dict(COMMANDS), dict[str, Command]()

    def __getitem__(self, name: str) -> Command:
        if name not in self._ready:
            module, _, attribute = self._homes[name].partition(":")
            found = getattr(import_module(module), attribute)
            part = typer.Typer(**STYLE)
            if isinstance(found, typer.Typer):
                part.add_typer(found, name=name)
            else:
                part.command(name)(found)
            self._ready[name] = get_group(part).commands[name]
        return self._ready[name]

    def __setitem__(self, name: str, command: Command) -> None:
        self._homes.setdefault(name, "")
        self._ready[name] = command

    def __delitem__(self, name: str) -> None:
        del self._homes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


class _Group(TyperGroup):
    """`kindred` itself."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()


app = typer.Typer(
    name="kindred",
    cls=_Group,
    epilog="Getting started: kindred index FOLDER, then kindred search IMAGE.",
    context_settings={"help_option_names": ["-h", "--help"]},
    **STYLE,
)


@app.callback(invoke_without_command=True)
def kindred(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    remote: Annotated[
        list[str] | None,
        typer.Option(
            "--remote",
            metavar="ADDRESS",
            help="Allow the command to read remote images of a library below this address, such as s3://BUCKET/FOLDER; "
            "repeatable. Also: the variable KINDRED_REMOTE.",
        ),
    ] = None,
) -> None:
    """Find images of the same object or place: index a folder once, then search it by image."""
    if version:
        say(f"kindred {__version__}")
        raise typer.Exit
    if remote:
        from kindred.images import allow_remote

        allow_remote(*remote)
    if context.invoked_subcommand is None:
        say_lines(context.get_help())


def run(arguments: Sequence[str], *, alone: bool = False) -> int:
    """Run the command line `arguments`; return the exit code.

    `alone` means that the process does nothing else: with `--json`, the output of other libraries is then suppressed.
    """
    quiet = alone and "--json" in arguments and not {"--help", "-h"} & set(arguments)
    with libraries_silenced() if quiet else nullcontext():
        return finish(app, arguments)
