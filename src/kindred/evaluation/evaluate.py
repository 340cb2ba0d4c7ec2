"""Evaluate: measure the quality and the cost of a recipe on images with ground truth."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred.calibration import Evidence
from kindred.describer import Describer
from kindred.errors import ImageError, UsageError
from kindred.evaluation.datasets import read_dataset
from kindred.evaluation.decision import DecisionLog
from kindred.evaluation.describing import DescribingTask, Descriptions, Part, Progress
from kindred.evaluation.files import Files
from kindred.evaluation.fused import check_fusion, measure_fused
from kindred.evaluation.groundtruth import GroundTruth
from kindred.evaluation.layouts import PARTIAL
from kindred.evaluation.localising import LocalisationLog
from kindred.evaluation.query_regions import QueryRegions, check_regions, steps_of_query
from kindred.evaluation.reranking import TimedCache, name_of
from kindred.evaluation.result import Evaluation
from kindred.evaluation.scoring import (
    METRICS,
    QueryRanks,
    find_metric,
    main_metric,
    main_ranks,
    match_curve,
    ranks_of,
    summary,
)
from kindred.evaluation.searching import Order, Search
from kindred.evaluation.ties import TIE_SEED, tie_order
from kindred.features import Matcher, find_matcher
from kindred.hints import check_type
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.rerank import RERANKERS, ArrayGallery, Context, Method
from kindred.rerank import rerank as apply
from kindred.rerank.calibrated import calibrated as by_probability
from kindred.rerank.calibrated import evidence_of
from kindred.rerank.context import Verified
from kindred.rerank.needs import check_needs, is_calibrated, steps_or_default

__all__ = ["DEPTH", "Bench", "evaluate"]

CURVE = 50
"""Length of the cumulative match characteristic that is reported."""

DEPTH = 1000
"""Number of results that are re-ranked."""


def evaluate(
    groundtruth: Path | str,
    *,
    recipe: Recipe | str | Path,
    dataset: str | None = None,
    partial: bool = False,
    images: Path | None = None,
    rerank: str | Sequence[Method] | None = None,
    also: Sequence[Recipe | str | Path] = (),
    fusion: str | None = None,
    depth: int = DEPTH,
    distractors: Sequence[Path] = (),
    metrics: Sequence[str] = (),
    regions: bool | None = None,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Evaluation:
    """Describe the images of a ground truth, search with every query, and score the results.

    `groundtruth`, `dataset` and `partial` are as in `read_dataset`; `images` is the folder of the images, if it is not
    the one of the ground truth. `rerank` names the re-rankers of the first `depth` results, in order, as in
    `kindred.rerank.rerank` ("aqe:n=5,diffusion"); the other results follow in their old order. `also` are recipes whose
    rankings are fused with that of `recipe`, by a name of `kindred.fusion.FUSIONS`: the first `depth` results of each,
    followed by the rest as ranked by `recipe`; fused results are not re-ranked. If all recipes have a calibration, what
    is fused are the probabilities of their candidates, unless `rerank` is "none"; the default is then "mean_scores",
    else "reciprocal_rank". `distractors` are folders of images
    added to the database as irrelevant. `metrics` are names of additional metrics, such as "precision@20"
    (`kindred.evaluation.scoring.find_metric`). `progress` is called with the steps done and their number.

    With `rerank` None, results are re-ranked as the recipe does by default; if it has a calibration, the no-answer
    decision is measured, too (`kindred.evaluation.decision`). Where results have probabilities, `regions` of queries
    are searched for as in `Library.search`: by default small ones of those without a probable result, with the relevant
    images in the database and without. False searches for none, true for all of every query.

    A query that is itself in the database is left out of its own ranking, unless it is listed as relevant or a
    published protocol has another rule. Equal scores are ordered by a fixed random order.

    `cache` is a folder for descriptions, which later evaluations of the same images with the same recipe reuse; the
    reported times are then those of the first. A recipe with a code ranks by codes alone; re-rankers use the vectors,
    which then count as the bytes of an image. Raises UsageError for an invalid ground truth or one that names a
    missing file, ImageError for the first unusable image; among distractors, and with `partial`, such images are left
    out.
    """
    if also:
        check_fusion(fusion, rerank)
        check_regions(regions, ())
    check_type("groundtruth", groundtruth, (str, os.PathLike), "the path of a file or folder")
    truth = read_dataset(Path(groundtruth), dataset, partial=partial)
    for name in metrics:
        find_metric(name, truth.protocol)
    files = Files.of(truth, images, distractors)
    benches = [Bench(truth, files, each, cache=cache) for each in (recipe, *also)]
    if also:
        calibrated = rerank is None
        return measure_fused(benches, fusion, depth=depth, calibrated=calibrated, metrics=metrics, progress=progress)
    return benches[0].measure(rerank, depth=depth, metrics=metrics, regions=regions, progress=progress)


class Bench:
    """A recipe on a data set: images are described once, then measured with any re-rankers.

    The database is searched in the order of `tie_order`; `ranks` converts back to that of the ground truth.
    """

    def __init__(
        self, truth: GroundTruth, files: Files, recipe: Recipe | str | Path, *, cache: Path | None = None
    ) -> None:
        self.truth = truth
        self.describer = Describer(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe))
        # An image that is both query and in the database is described once, unless queries are described differently.
        self.files = (
            replace(files, shared=[None] * len(files.shared)) if self.describer.describes_queries_differently else files
        )
        self.work = DescribingTask(self.describer, cache=cache, boxed=bool(truth.boxes))
        self._computed = TimedCache()

    def measure(
        self,
        rerank: str | Sequence[Method] | None = None,
        *,
        depth: int = DEPTH,
        metrics: Sequence[str] = (),
        regions: bool | None = None,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Rank the database for every query, re-rank, and score; arguments are those of `evaluate`."""
        methods = steps_or_default(rerank, self.describer.recipe)
        check_needs(methods, self.describer.recipe, images_at_hand=False)
        check_regions(regions, methods)
        self.work.begin(self.to_describe + steps_of_query(methods, regions) * len(self.truth.queries), progress)
        search, before = self.search(), self._computed.seconds
        log = self._decision_log() if is_calibrated(methods) else None
        parts = None
        if log is not None and regions is not False:
            parts = self._query_regions(search, methods, regions, depth=depth)
        orders = self._reranked(search, methods, log, parts, depth=depth) if methods else search.orders()
        where = LocalisationLog(self.truth, search, self._tie_order) if self.truth.boxes and not methods else None
        orders = orders if where is None else where.add(orders)
        ranks = self.ranks(orders)
        found = self.result(
            search,
            ranks,
            methods,
            cache=self._computed.seconds - before,
            metrics=metrics,
            regions=parts,
            deciding=0.0 if log is None else log.seconds,
        )
        more = {**({} if log is None else log.metrics()), **({} if where is None else where.metrics())}
        return replace(found, metrics={**found.metrics, **more}) if more else found

    def calibrated(self, search: Search, ranking: Ranking, selected: slice) -> Ranking:
        """Return the candidates of some queries of a search, by the probability that the recipe's calibration gives."""
        return by_probability(ranking, self._context(search, selected))

    def evidence(
        self, *, depth: int, progress: Progress | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Callable[[NDArray[np.bool_]], Evidence]]]:
        """Yield for each query the positions of its candidates in the database (n,), and what verification says.

        The latter is a function that returns the evidence of the candidates in a mask (n,), as if there were no others.
        """
        self.work.begin(self.to_describe + len(self.truth.queries), progress)
        search = self.search()
        for ranking, context in self._contexts(search, depth=depth):
            for row in range(len(ranking)):
                ids = ranking.ids[row][ranking.ids[row] >= 0]
                self.work.step()
                yield self._tie_order[ids], partial(_evidence_of, context, row, ids)

    def _decision_log(self) -> DecisionLog:
        """Return the log of the no-answer decision, by the ids of the images as they are searched."""
        searched_at = np.argsort(self._tie_order)
        main = [query.judgement for query in self.truth.queries]
        return DecisionLog(
            [searched_at[each.relevant] for each in main],
            [searched_at[each.junk] for each in main],
        )

    def ranks(self, orders: Iterable[Order]) -> list[QueryRanks]:
        """Return the ranks of the relevant images in orders of the database as it is searched."""
        return ranks_of(self.truth, (self._tie_order[order] for order in orders))

    def search(self) -> Search:
        """Return the search of the database with all queries, after describing them."""
        database, queries = self.described
        code, options = self.describer.fitted.codes, self.describer.matching_options
        searched_at = np.argsort(self._tie_order)
        left_out = [searched_at[list(places)].tolist() for places in self.files.left_out]
        return Search(self.describer.recipe, queries, database, left_out, code=code, options=options)

    def result(
        self,
        search: Search,
        ranks: Sequence[QueryRanks],
        methods: Sequence[Method] = (),
        *,
        cache: float = 0.0,
        metrics: Sequence[str] = (),
        regions: QueryRegions | None = None,
        deciding: float = 0.0,
    ) -> Evaluation:
        """Return metrics and costs from `ranks` and `search`.

        cache: seconds spent once for the whole database. deciding: those of searches without the relevant images.
        """
        database, queries, code = search.database, search.queries, search.code
        apart = cache + deciding + (0.0 if regions is None else regions.seconds)
        spent = [queries.seconds, search.seconds, max(0.0, search.rerank_seconds - apart)]
        spent.append(0.0 if regions is None else regions.seconds)
        parts = [seconds / len(queries) for seconds in spent]
        return Evaluation(
            name=self.truth.name,
            recipe=self.describer.recipe,
            queries=len(main_ranks(self.truth, ranks)),
            metrics=summary(self.truth, ranks, metrics=metrics),
            dimension=self.describer.dimension,
            seconds_per_image=database.seconds / len(database),
            seconds_per_query=sum(parts),
            seconds_describing=parts[0],
            seconds_searching=parts[1],
            seconds_reranking=parts[2],
            seconds_regions=parts[3],
            queries_with_regions=0 if regions is None else regions.searched,
            seconds_preparing=cache,
            images=int(database.usable.sum()),
            distractors=int(database.usable[self._tie_order >= len(self.truth.database)].sum()),
            skipped=int((~database.usable).sum()),
            skipped_images=self._skipped(database),
            rerank=tuple(map(name_of, methods)),
            bytes_per_image=database.bytes_per_image(None if _needs_vectors(methods) else code),
            passes=database.passes,
            left_out_of_own_ranking=sum(map(bool, self.files.left_out)),
            main=main_metric(self.truth),
            cmc=match_curve(self.truth, ranks, min(CURVE, len(database))),
        )

    def _skipped(self, database: Descriptions) -> tuple[tuple[str, str], ...]:
        """Return path and reason of the images that are not searched, in order of the ground truth."""
        paths = [path for path, _ in chain(self._database, *self._distractors)]
        lost = sorted((int(self._tie_order[at]), database.reasons[at]) for at in np.flatnonzero(~database.usable))
        return tuple((str(paths[place]), reason) for place, reason in lost)

    def key(self, rerank: str | None, *, depth: int, metrics: Sequence[str] = (), regions: bool | None = None) -> str:
        """Return a digest of all that the result of `measure` depends on, as 16 hexadecimal digits."""
        described = [self.work.key(images) for images in (self._database, *self._distractors)]
        made_of = (
            [*described, self.work.key(self._queries, is_query=True)],
            self.truth.digest,
            self.describer.recipe.digest,
            self._code_digest,
            list(map(name_of, steps_or_default(rerank, self.describer.recipe))),
            depth,
            regions,
            self.files.left_out,
            TIE_SEED,
            sorted({*METRICS[self.truth.protocol], *metrics}),
        )
        return hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]

    @property
    def _code_digest(self) -> str:
        """A digest of the recipe's code and calibration, which neither their names nor the descriptions identify."""
        fitted = (self.describer.fitted.codes, self.describer.fitted.calibration)
        arrays = [array for each in fitted if each is not None for array in each.to_arrays().values()]
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    @property
    def to_describe(self) -> int:
        """The number of images still to be described."""
        return 0 if "described" in self.__dict__ else self.files.count

    @cached_property
    def described(self) -> tuple[Descriptions, Descriptions]:
        """The database with distractors in the order of `tie_order`, and the queries; shared images once."""
        try:
            database = self.work.describe(self._database, lenient=self.truth.lenient)
        except ImageError as error:
            remedy = f"put a sound copy there, take it out of the ground truth, or evaluate without it: {PARTIAL}"
            raise ImageError(error.path, f"{error.reason}; {remedy}", final=error.final) from error
        added = [self.work.describe(images, lenient=True) for images in self._distractors]
        alone = self.work.describe(self._queries, is_query=True)
        pool = Descriptions.concatenated([database, alone])
        own = iter(range(len(database), len(pool)))
        queries = pool.chosen([next(own) if place is None else place for place in self.files.shared])
        if not queries.usable.all():
            lost = int(np.argmin(queries.usable))
            raise UsageError(
                f"{self.files.queries[lost]}: cannot be used ({queries.reasons[lost]}), and is a query; "
                "put a sound copy there, or leave it out of the ground truth"
            )
        # The time of a query that is in the database counts as well: a search would describe it.
        seconds = alone.seconds + (len(queries) - len(alone)) * database.seconds / len(database)
        whole = Descriptions.concatenated([database, *added])
        searched = replace(whole.chosen(self._tie_order), seconds=whole.seconds)
        return searched, replace(queries, seconds=seconds)

    @cached_property
    def _tie_order(self) -> Order:
        return tie_order(len(self.files.database) + sum(map(len, self.files.distractors)))

    @cached_property
    def _gallery(self) -> ArrayGallery:
        return ArrayGallery(self.described[0].first_rows(), similarity="dot")

    @cached_property
    def _matcher(self) -> Matcher | None:
        return find_matcher(self.describer.recipe.stored_features)

    @property
    def _database(self) -> list[Part]:
        return [(path, None) for path in self.files.database]

    @property
    def _distractors(self) -> list[list[Part]]:
        return [[(path, None) for path in paths] for paths in self.files.distractors]

    @property
    def _queries(self) -> list[Part]:
        """The queries that are not in the database."""
        listed = zip(self.files.queries, self.truth.queries, self.files.shared, strict=True)
        return [(path, query.box) for path, query, place in listed if place is None]

    def _reranked(
        self,
        search: Search,
        methods: Sequence[Method],
        log: DecisionLog | None,
        regions: QueryRegions | None,
        *,
        depth: int,
    ) -> Iterator[Order]:
        """Yield the orders of `search`, re-ranked; `log` takes the no-answer decisions."""

        def better(ranking: Ranking, selected: slice) -> Ranking:
            context = self._context(search, selected)
            if log is None:
                return apply(ranking, context, methods)

            def without(each: Ranking, removed: Sequence[NDArray[np.int64]] | None) -> Ranking:
                def further(number: int) -> list[NDArray[np.int64]]:
                    more = search.further(selected.start + number)
                    return more if removed is None else [each[~np.isin(each, removed[number])] for each in more]

                found = apply(each, replace(context, further=further), methods)
                return found if regions is None else regions.join(found, selected.start, removed)

            return log.add(ranking, without, selected)

        for order in search.reranked(better, depth=depth):
            self.work.step()
            yield order

    def _query_regions(
        self, search: Search, methods: Sequence[Method], regions: bool | None, *, depth: int
    ) -> QueryRegions:
        """Return the search for regions of the queries of a search."""
        parts = [(path, query.box) for path, query in zip(self.files.queries, self.truth.queries, strict=True)]
        context = self._context(search, slice(0, 0))
        return QueryRegions(search, self.work, parts, methods, context, depth, regions)

    def _contexts(self, search: Search, *, depth: int) -> Iterator[tuple[Ranking, Context]]:
        """Yield the candidates of some queries at a time, and the context to re-rank them."""
        for ranking, selected in search.candidates(depth=depth):
            yield ranking, self._context(search, selected)

    def _context(self, search: Search, selected: slice) -> Context:
        """Return the context of some queries of a search."""
        own, others = search.queries.features, search.database.features
        return Context(
            search.queries.first_rows()[selected],
            self._gallery,
            query_features=None if own is None else own[selected].__getitem__,
            image_features=None if others is None else partial(map, others.__getitem__),
            cache=self._computed,
            calibration=self.describer.fitted.calibration,
            verified=Verified(),
            further=lambda number: search.further(selected.start + number),
            matcher=self._matcher,
        )


def _evidence_of(context: Context, number: int, ids: NDArray[np.int64], chosen: NDArray[np.bool_]) -> Evidence:
    return evidence_of(context, number, ids[chosen])


def _needs_vectors(methods: Sequence[Method]) -> bool:
    """Return whether a re-ranker needs the vectors of images, so that they must be stored."""
    return any(not isinstance(method, tuple) or RERANKERS[method[0]].needs != "features" for method in methods)
