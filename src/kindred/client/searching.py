"""The verbs of a client that search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from kindred.arrays import Vectors, l2_normalise
from kindred.client.naming import Naming
from kindred.client.receiving import explanation_of, results_of
from kindred.client.sending import (
    filter_body,
    image_bytes,
    is_stored,
    is_vectors,
    listed,
    mean_of,
)
from kindred.errors import UsageError
from kindred.images import ImageLike
from kindred.library import Example, Results
from kindred.library.explaining import Explanation
from kindred.library.query import NEGATIVE_WEIGHT, Query
from kindred.service import DescriptionForm, SearchForm, UploadForm
from kindred.service.reading import read_form
from kindred.store import Box, Filter

__all__ = ["Rerank", "Searching"]

Rerank = str | Sequence[str] | None


class Searching(Naming):
    """The methods of a client that search, with the arguments of those of `Library`."""

    def describe(self, images: ImageLike | Sequence[ImageLike]) -> Vectors:
        """Describe images with the library's recipe: unit vectors (N, D)."""
        given = list(images) if isinstance(images, list | tuple) else [cast(ImageLike, images)]
        if not given:
            raise UsageError("describe: got no image; give at least one")
        found = [read_form(DescriptionForm, self.connection.send("/describe", image_bytes(each))) for each in given]
        return cast(Vectors, np.array([each.vector for each in found], np.float32))

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        box: Box | None = None,
        negatives: Query = (),
        where: Filter | None = None,
        min_score: float | None = None,
        min_probability: float | None = None,
        rerank: Rerank = None,
        depth: int = 100,
        regions: bool | None = None,
    ) -> Results:
        """Find the `k` images most similar to `query`; the arguments are those of `Library.search`.

        Re-rankers are given by name.
        """
        has_negatives = isinstance(negatives, np.ndarray) or bool(negatives)
        single = not is_vectors(query) and len(listed(query)) == 1
        if box is not None and not single:
            raise UsageError("search: a box needs a single query image; give one image, not a vector or several")
        if regions and (has_negatives or not single):
            raise UsageError("search: regions are those of one query image; give one, and no negative examples")
        if single and not has_negatives:
            part = self._part(listed(query)[0], box)
        else:
            vector = self._vector_of(query, box)
            if has_negatives:
                vector = l2_normalise(vector - NEGATIVE_WEIGHT * self._vector_of(negatives, None))
            part = {"vector": vector.tolist()}
        return self._found(
            [part],
            k=k,
            where=where,
            min_score=min_score,
            min_probability=min_probability,
            rerank=() if rerank is None and has_negatives else rerank,
            depth=depth,
            regions=regions,
        )

    def search_examples(
        self,
        examples: Sequence[Example],
        *,
        right: Sequence[str] = (),
        wrong: Sequence[str] = (),
        k: int = 10,
        where: Filter | None = None,
        min_score: float | None = None,
        min_probability: float | None = None,
        rerank: Rerank = None,
        depth: int = 100,
        regions: bool | None = None,
    ) -> Results:
        """Find the `k` images most similar to several examples, as `Library.search_examples` does."""
        return self._found(
            [self._example(each) for each in examples],
            right=right,
            wrong=wrong,
            k=k,
            where=where,
            min_score=min_score,
            min_probability=min_probability,
            rerank=rerank,
            depth=depth,
            regions=regions,
        )

    def explain(self, query: Example, image: str) -> Explanation:
        """Say in what an image of the library, given by id, agrees with a query, as `Library.explain` does."""
        body = {"query": self._example(query), "image": image}
        return explanation_of(self.connection.post("/explain", body))

    def _found(
        self,
        query: list[dict[str, object]],
        *,
        right: Sequence[str] = (),
        wrong: Sequence[str] = (),
        k: int,
        where: Filter | None,
        min_score: float | None,
        min_probability: float | None,
        rerank: Rerank,
        depth: int,
        regions: bool | None,
    ) -> Results:
        names = [rerank] if isinstance(rerank, str) else list(rerank or [])
        if any(not isinstance(name, str) for name in names):
            raise UsageError("rerank: a server takes re-rankers by name only, such as 'alpha_qe:n=10'")
        methods: object = "default" if rerank is None else "none" if names in ([], ["none"], [""]) else names
        body: dict[str, object] = {
            "query": query,
            "right": list(right),
            "wrong": list(wrong),
            "filter": filter_body(where),
            "rerank": methods,
            "depth": depth,
            "regions": regions,
            "min_score": min_score,
            "min_probability": min_probability,
        }
        parts: list[SearchForm] = []
        offset: int | None = 0
        while offset is not None and (offset < k or not parts):
            page = {"k": min(500, k - offset) if k > 0 else k, "offset": offset}
            parts.append(read_form(SearchForm, self.connection.post("/search", {**body, **page})))
            offset = parts[-1].next_offset
        hits = tuple(hit for part in parts for hit in part.results)
        first = parts[0]
        seconds = sum(part.seconds for part in parts)
        whole = SearchForm(first.query, first.recipe, first.answered, hits, seconds, first.total, None)
        return results_of(whole)

    def _part(self, image: object, box: Box | None) -> dict[str, object]:
        """Return one query image as JSON: by its id, or sent to the server."""
        known = {} if box is None else {"box": list(box)}
        if is_stored(image):
            return {"image": image, **known}
        sent = read_form(UploadForm, self.connection.send("/uploads", image_bytes(cast(ImageLike, image))))
        return {"upload": sent.upload, **known}

    def _example(self, example: Example) -> dict[str, object]:
        if is_vectors(example.query):
            vector = mean_of(cast(Vectors, example.query))
            return {"vector": vector.tolist(), "weight": float(example.weight)}
        return {**self._part(example.query, example.box), "weight": float(example.weight)}

    def _vector_of(self, query: Query, box: Box | None) -> Vectors:
        """Return the mean of the vectors of a query (D,)."""
        if is_vectors(query):
            return mean_of(cast(Vectors, query))
        if not listed(query):
            raise UsageError("search: the query is empty; give an image, several images of one object, or a vector")
        if box is not None:
            raise UsageError("search: a box and negative examples cannot be combined over a server; crop the image")
        return mean_of(cast(Vectors, np.concatenate([self._vector(each) for each in listed(query)])))

    def _vector(self, image: object) -> Vectors:
        if not is_stored(image):
            return self.describe(cast(ImageLike, image))
        found = read_form(DescriptionForm, self.connection.get(f"/images/{image}/vector"))
        return cast(Vectors, np.array([found.vector], np.float32))
