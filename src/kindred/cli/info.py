"""`kindred info`: the contents of a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred.cli.options import DEFAULT_LIBRARY, AsJson, ExistingLibrary, Verbose
from kindred.cli.output import columns, counted, grouped, print_json, say, shown, size

if TYPE_CHECKING:
    from kindred.library import Info

__all__ = ["info"]


def info(*, library: ExistingLibrary = DEFAULT_LIBRARY, verbose: Verbose = False, as_json: AsJson = False) -> None:
    """Show the contents of a library and the files it could not use."""
    from kindred.library import Library

    with Library.open(library) as opened:
        facts, skipped = opened.info(), opened.skipped()
    if as_json:
        from kindred.service import InfoForm

        print_json(InfoForm.of(facts, skipped))
        return
    say(columns(_rows(facts)))
    if skipped:
        say(f"Skipped {counted(len(skipped), 'file')}:", gap=True)
        say(grouped(skipped, verbose=verbose))


def _rows(facts: Info) -> list[tuple[str, str]]:

    recipe = facts.recipe
    how = f"{recipe.embedding or recipe.pooling}, {recipe.size} px" if recipe.backbone else "concatenated"
    compared = recipe.row_matching if recipe.multi_vector else recipe.similarity
    made_with = f"{recipe.name}: {recipe.networks}, {how}, {compared}"
    return [
        ("library", shown(facts.place)),
        ("images", f"{facts.images:,}"),
        ("skipped", f"{facts.skipped:,}"),
        ("vectors", _vectors(facts)),
        ("recipe", made_with),
        ("tags", ", ".join(f"{tag} ({count:,})" for tag, count in facts.tags.items()) or "none"),
        ("metadata", ", ".join(f"{shown(key)} ({count:,})" for key, count in facts.metadata.items()) or "none"),
        ("folders", ", ".join(shown(root) for root in facts.roots) or "none"),
        ("on disk", size(facts.bytes)),
        ("last run", facts.last_run.replace("T", " ").replace("+00:00", " UTC") if facts.last_run else "none finished"),
    ]


def _vectors(facts: Info) -> str:
    if facts.dimension is None:
        return "none yet"
    if facts.vectors or not facts.images:
        return f"{facts.vectors:,} of dimension {facts.dimension}"
    return f"one of dimension {facts.dimension} for each visual word of an image"
