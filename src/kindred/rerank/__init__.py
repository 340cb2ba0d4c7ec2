"""Re-ranking: a ranking goes in, a better one comes out."""

from kindred.rerank.context import Context, Gallery, Reranker

__all__ = ["Context", "Gallery", "Reranker"]
