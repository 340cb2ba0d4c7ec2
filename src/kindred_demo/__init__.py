"""A collection of photographs rendered by Kindred itself, for trying a search before indexing own images.

Three dozen drawn objects (books, records, stamps, tins, signs …) are rendered in perspective and under varying light,
on tables, shelves and walls, among clutter. Needs Pillow and NumPy, but no fonts and no network.
"""

from __future__ import annotations

from kindred_demo.collection import DemoCollection, render_demo

__all__ = ["DemoCollection", "render_demo"]
