"""The client of a server of Kindred, for programs: the verbs of `Library`, over HTTP."""

from __future__ import annotations
