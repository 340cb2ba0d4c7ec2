"""A collection of photographs that Kindred renders itself: something to search before any own pictures.

Three dozen drawn things (books, records, stamps, tins, signs …) are photographed, in perspective, under
changing light, on tables, shelves and walls, among other small things. Needs Pillow and NumPy, no fonts and
no network.
"""

from __future__ import annotations

from kindred_demo.collection import DemoCollection, render_demo

__all__ = ["DemoCollection", "render_demo"]
