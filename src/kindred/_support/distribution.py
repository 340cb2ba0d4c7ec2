"""Detect another project's package named `kindred` in this environment.

The package index has a `kindred` that extracts relations from biomedical texts. This project's distribution is called
`kindred-images`, but both are imported as `kindred`, so that installed beside each other one overwrites the other.
"""

from __future__ import annotations

import os
import sys

__all__ = ["REMEDY", "other_kindred"]

SUMMARY = "Summary: Deep image retrieval"
"""A line of this project's metadata, also of versions installed under its earlier name, `kindred`."""
REMEDY = "pip uninstall kindred, then pip install . in the clone of this project"


def other_kindred() -> str | None:
    """Return the name and version of another project's `kindred`, or None.

    It reads only names of folders unless it finds one, which takes 0.1 ms: every `import kindred` calls it.
    """
    for folder in sys.path:
        if not folder.endswith(("site-packages", "dist-packages")):
            continue
        try:
            names = os.listdir(folder)  # noqa: PTH208 - pathlib is not loaded yet, and takes ten times as long
        except OSError:
            continue
        for name in names:
            if name.startswith("kindred-") and name.endswith((".dist-info", ".egg-info")):
                own = _is_own(os.path.join(folder, name))  # noqa: PTH118 - as above
                if not own:
                    return name.rpartition(".")[0].replace("-", " ")
    return None


def _is_own(info: str) -> bool:
    for file in ("METADATA", "PKG-INFO"):
        try:
            with open(os.path.join(info, file), encoding="utf-8", errors="replace") as opened:  # noqa: PTH118, PTH123
                return SUMMARY in opened.read(10_000)
        except OSError:
            continue
    return False
