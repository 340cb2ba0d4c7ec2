"""The record of a library about its index in Milvus: which rows it holds, and how to recognise it.

The record is a fact in the store, and names no server: where the index is, only the user says. The server holds the
token of the record as the id of a row, so that an index that is not the recorded one is recognised, for example after
the store was restored from a backup.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Self

from kindred.errors import LibraryDamaged
from kindred.index.milvus.kinds import KINDS

__all__ = ["IndexRecord", "key_of"]

MOST_RECORD = 1000
_PHYSICAL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}_[0-9a-f]{8}_[0-9a-f]{8}")


def key_of(collection: str) -> str:
    """Return the name under which the store has the record of an index."""
    return f"milvus {collection}"


@dataclass(frozen=True)
class IndexRecord:
    """What an index holds: the `count` vectors with ids up to `last_id` that were there at `revision`.

    collection: its name on the server. token: an id below 0 of a row there. kind: one of KINDS. dimension, similarity:
    those of its vectors.
    """

    collection: str
    token: int
    kind: str
    dimension: int
    similarity: str
    last_id: int
    count: int
    revision: int

    @classmethod
    def parse(cls, text: str, collection: str) -> Self:
        """Parse the JSON of a record; raises LibraryDamaged if it is invalid, as a library may be untrusted."""
        try:
            found = cls(**json.loads(text if len(text) <= MOST_RECORD else ""))
            numbers = (found.dimension, found.last_id, found.count, found.revision)
            valid = all(type(number) is int and 0 <= number < 1 << 62 for number in numbers)
            valid = valid and type(found.token) is int and -(1 << 62) < found.token < 0
            valid = valid and isinstance(found.kind, str) and found.kind in KINDS and isinstance(found.similarity, str)
            valid = valid and isinstance(found.collection, str) and _PHYSICAL.fullmatch(found.collection) is not None
            valid = valid and found.collection.startswith(f"{collection}_")
        except (ValueError, TypeError, RecursionError):
            valid = False
        if not valid:
            shown = text[:60].encode("unicode_escape").decode()
            raise LibraryDamaged(f"meta {key_of(collection)!r}: is not a valid record ({shown}); build the index again")
        return found

    def text(self) -> str:
        """Return the record as JSON."""
        return json.dumps(asdict(self))
