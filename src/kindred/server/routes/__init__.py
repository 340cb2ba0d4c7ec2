"""The routes of the API: one file per subject, each with a `router`; listed in `kindred.server.app`."""

from __future__ import annotations
