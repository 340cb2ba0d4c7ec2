"""`RERANKERS`, the table of all re-rankers, and `rerank`, which applies one or several in turn.

A method is a name, a name with options, its text form ("alpha_qe:n=10,alpha=3"), or any function of a ranking and its
context.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kindred.errors import RecipeError
from kindred.hints import check_known, check_options, options_of
from kindred.ranking import Ranking
from kindred.rerank.calibrated import calibrated
from kindred.rerank.context import Context, Reranker
from kindred.rerank.diffusion import diffusion
from kindred.rerank.expansion import alpha_qe, aqe, dba
from kindred.rerank.localisation import localise
from kindred.rerank.manifold import isomap, spectral
from kindred.rerank.offline import offline_diffusion
from kindred.rerank.reciprocal import k_reciprocal
from kindred.rerank.superglobal import superglobal
from kindred.rerank.verification import verify

__all__ = ["RERANKERS", "Entry", "Method", "Option", "parse_methods", "rerank"]

Option: TypeAlias = bool | int | float | str
Method: TypeAlias = str | tuple[str, Mapping[str, Option]] | Reranker
"""A name of RERANKERS or a text form, a name with options, or a function of your own."""


@dataclass(frozen=True)
class Entry:
    """One entry of RERANKERS.

    function: a ranking, its context, and options by name → the re-ranked ranking.
    summary: what it does, in a few words.
    source: author and year, for the documentation.
    needs: "vectors" of the gallery, local "features" of the images, their feature "maps", or a "calibration" of the
    recipe, with both vectors and local features.
    """

    function: Callable[..., Ranking]
    summary: str
    source: str
    needs: Literal["vectors", "features", "maps", "calibration"]


RERANKERS: dict[str, Entry] = {
    "aqe": Entry(aqe, "search again with the best results added to the query", "Chum et al. 2007", "vectors"),
    "alpha_qe": Entry(
        alpha_qe, "search again with the best results added by similarity", "Radenović et al. 2018", "vectors"
    ),
    "dba": Entry(
        dba,
        "compare query and candidates, each with its own neighbours added",
        "Arandjelović and Zisserman 2012; Gordo et al. 2017",
        "vectors",
    ),
    "k_reciprocal": Entry(k_reciprocal, "overlap of the sets of mutual neighbours", "Zhong et al. 2017", "vectors"),
    "diffusion": Entry(
        diffusion, "diffusion of similarity on the graph of mutual neighbours", "Iscen et al. 2017", "vectors"
    ),
    "offline_diffusion": Entry(
        offline_diffusion, "diffusion computed for every image in advance", "Yang et al. 2019", "vectors"
    ),
    "spectral": Entry(
        spectral,
        "cosine in a spectral embedding (Laplacian eigenmaps)",
        "Belkin and Niyogi 2003; Bengio et al. 2004",
        "vectors",
    ),
    "isomap": Entry(
        isomap,
        "cosine in an embedding that preserves distances along the manifold",
        "Tenenbaum et al. 2000; Bengio et al. 2004",
        "vectors",
    ),
    "superglobal": Entry(
        superglobal,
        "compare candidates refined by their neighbours with the query and with the best of them",
        "Shao et al. 2023",
        "vectors",
    ),
    "verify": Entry(
        verify,
        "inliers of a homography between the local features",
        "Philbin et al. 2007; Barath et al. 2020",
        "features",
    ),
    "calibrated": Entry(
        calibrated,
        "probability of the same thing, from cosine and inliers",
        "Platt 1999; Philbin et al. 2007",
        "calibration",
    ),
    "localise": Entry(
        localise, "the most similar box of the feature map (AML)", "Tolias, Sicre and Jégou 2016", "maps"
    ),
}


def rerank(ranking: Ranking, context: Context, methods: str | Sequence[Method]) -> Ranking:
    """Apply `methods` from left to right, each to the ranking that the previous one returned.

    A single string is parsed by `parse_methods`. Raises RecipeError for an unknown name or option before any method
    is applied, UsageError for an option out of range.

    >>> rerank(ranking, context, ["alpha_qe", ("diffusion", {"kq": 5}), my_function])  # doctest: +SKIP
    """
    listed = parse_methods(methods) if isinstance(methods, str) else methods
    for step in [step for method in listed for step in _steps(method)]:
        ranking = step(ranking, context)
    return ranking


def parse_methods(text: str) -> list[tuple[str, dict[str, Option]]]:
    """Parse the command line's form: names separated by commas, options after a colon.

    Values are integers, decimal numbers, true, false or text. Raises RecipeError for an unknown name or option and for
    an option of another type.

    >>> parse_methods("alpha_qe:n=10,alpha=2.5,diffusion")
    [('alpha_qe', {'n': 10, 'alpha': 2.5}), ('diffusion', {})]
    """
    methods: list[tuple[str, dict[str, Option]]] = []
    for part in (part.strip() for part in text.split(",")):
        name, colon, option = part.partition(":")
        if not colon and "=" in part and methods:  # one more option of the method before
            option = part
        else:
            methods.append((name.strip(), {}))
        if option:
            key, value = _read_option(option, methods[-1][0])
            methods[-1][1][key] = value
    for name, options in methods:
        _check(name, options)
    return methods


def _steps(method: Method) -> list[Reranker]:
    """Return the re-rankers of a method, with their options checked and bound."""
    if isinstance(method, str):
        return [_bound(name, options) for name, options in parse_methods(method)]
    if isinstance(method, tuple):
        return [_bound(*method)]
    return [method]


def _bound(name: str, options: Mapping[str, Option]) -> Reranker:
    _check(name, options)
    function = RERANKERS[name].function
    return lambda ranking, context: function(ranking, context, **options)


def _check(name: str, options: Mapping[str, object]) -> None:
    check_known("re-ranker", name, RERANKERS, error=RecipeError)
    usual = options_of(RERANKERS[name].function)
    check_options(f"re-ranker {name!r}", options, usual, error=RecipeError)


def _read_option(text: str, method: str) -> tuple[str, Option]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals):
        raise RecipeError(f"re-ranker {method!r}: got option {text!r}; expected name=value")
    if value in ("true", "false"):
        return key, value == "true"
    for read in (int, float):
        try:
            return key, read(value)
        except ValueError:
            continue
    return key, value
