"""Search of the vectors of a library by a Milvus server, beside any store.

`MilvusUrl` is the address of a collection, `KINDS` the kinds of index that the server can build, and `MilvusIndex` the
index itself, which the store fills and keeps in step. pymilvus is imported by the first connection.
"""

from kindred.index.milvus.url import MilvusUrl

__all__ = ["MilvusUrl"]
