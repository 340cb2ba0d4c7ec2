"""Groups of options shared by several commands: each is a dataclass whose fields are the options.

A command takes a group as one parameter, and `with_groups` declares its fields to typer as options of the command.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from kindred.cli.options import RERANKERS, parse_day

if TYPE_CHECKING:
    from kindred.store import Filter

__all__ = ["FilterOptions", "RankingOptions", "with_groups"]

R = TypeVar("R")


@dataclass(frozen=True)
class FilterOptions:
    """The selection of images of a library."""

    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="Only images in this folder and its sub-folders.")
    ] = None
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only images with this tag; repeatable, and all must match."),
    ] = None
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="DAY",
            help="Only images of this day (2024-05-31) or later: the day taken, or else that of the file.",
        ),
    ] = None
    before: Annotated[
        str | None, typer.Option("--before", metavar="DAY", help="Only images of this day or earlier, likewise.")
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only images whose metadata satisfy this: price<20, maker=Leica, bought>=2024-01-31. Operators: =, "
            "!=, <, <=, > and >=; repeatable, and all must hold. See kindred meta.",
        ),
    ] = None

    def parsed(self) -> Filter | None:
        """Return the filter, or None if no option is given; raises `UsageError` for an invalid day or condition."""
        from kindred.store import Filter, parse_where

        first, last = parse_day(self.after, option="--after"), parse_day(self.before, option="--before")
        found = Filter(
            folder=self.folder,
            tags=tuple(self.tag or ()),
            after=first,
            before=last,
            where=tuple(map(parse_where, self.where or ())),
        )
        return None if found == Filter() else found


@dataclass(frozen=True)
class RankingOptions:
    """Options for the ranking of results, and for leaving some out."""

    min_score: Annotated[
        float | None, typer.Option("--min-score", metavar="SCORE", help="Leave out results below this score.")
    ] = None
    min_probability: Annotated[
        float | None,
        typer.Option(
            "--min-probability",
            min=0.0,
            max=1.0,
            metavar="P",
            help="Leave out results whose probability of showing the same thing is lower: 0.5 leaves out those that "
            "probably do not. For recipes with a calibration.",
        ),
    ] = None
    rerank: Annotated[
        str | None,
        typer.Option(
            "--rerank",
            metavar="NAMES",
            help=f"Re-rank the first results by {RERANKERS} or localise; several are applied in turn: "
            "alpha_qe:n=10,verify. none: by descriptors alone. Default: calibrated, if the recipe has a calibration.",
        ),
    ] = None
    depth: Annotated[int, typer.Option("--depth", min=1, metavar="N", help="Number of results to re-rank.")] = 100


def with_groups(command: Callable[..., R]) -> Callable[..., R]:
    """Return a command in which typer sees the options of each group in place of the group."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        each.name: each.annotation for each in signature.parameters.values() if is_dataclass(each.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for each in signature.parameters.values():
        if each.name not in groups:
            parameters.append(each)
            continue
        hints = get_type_hints(each.annotation, include_extras=True)
        parameters += [
            each.replace(name=field.name, annotation=hints[field.name], default=field.default)
            for field in fields(each.annotation)
        ]

    @wraps(command)
    def run(**given: object) -> R:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return command(**given)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
