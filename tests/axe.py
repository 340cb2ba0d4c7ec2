"""axe-core, which finds what keeps people with disabilities from using a page; used in tests only."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from functools import lru_cache
from pathlib import Path

import pytest
from playwright.sync_api import Page

__all__ = ["assert_accessible"]

VERSION = "4.14.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kindred-tests"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

RUN = """async (tags) => {
  const options = { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"], preload: false };
  const { violations } = await axe.run(document, options);
  const where = ({ html, any, failureSummary }) => `${html.slice(0, 160)} (${any[0]?.message ?? failureSummary})`;
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 4).map(where).join(" | ")}`);
}"""


def assert_accessible(page: Page) -> None:
    """Fail if axe-core finds anything serious or critical in what the page shows now."""
    source = axe_source()
    if not page.evaluate("() => 'axe' in globalThis"):
        page.evaluate(source)
    found = page.evaluate(RUN, TAGS)
    assert not found, "\n".join(found)


@lru_cache(maxsize=1)
def axe_source() -> str:
    """Return axe-core's script: of the cache, of KINDRED_AXE, or fetched with npm; skips where none of these works."""
    for tarball in (os.environ.get("KINDRED_AXE"), CACHE / f"axe-core-{VERSION}.tgz", f"/tmp/axe-core-{VERSION}.tgz"):
        if tarball and Path(tarball).is_file():
            return _script(Path(tarball).read_bytes())
    if shutil.which("npm") is None:
        pytest.skip(f"needs axe-core {VERSION}: install npm, or set KINDRED_AXE to the tarball of its package")
    CACHE.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["npm", "pack", f"axe-core@{VERSION}", "--silent"], cwd=CACHE, capture_output=True, text=True, check=False
    )
    fetched = CACHE / f"axe-core-{VERSION}.tgz"
    if done.returncode != 0 or not fetched.is_file():
        pytest.skip(f"npm cannot fetch axe-core {VERSION}: {done.stderr.strip()[-300:]}")
    return _script(fetched.read_bytes())


def _script(tarball: bytes) -> str:
    with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()
