"""Local features: what spatial verification matches, point by point."""

from kindred.features.local import LocalFeatures

__all__ = ["LocalFeatures"]
