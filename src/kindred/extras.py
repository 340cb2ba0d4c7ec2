"""Extras: which packages each optional part of Kindred needs. `pyproject.toml` has the same, with versions."""

from __future__ import annotations

__all__ = ["EXTRAS", "install_command", "needs"]

EXTRAS: dict[str, tuple[str, ...]] = {
    "heic": ("pillow-heif",),
    "jxl": ("pillow-jxl-plugin",),
    "maps": ("matplotlib", "scikit-learn", "scipy", "threadpoolctl"),
    "verify": ("scipy",),
    "sift": ("opencv-python-headless",),
    "parquet": ("pyarrow",),
    "s3": ("fsspec", "s3fs"),
    "postgres": ("psycopg", "psycopg-binary"),
    "milvus": ("pymilvus",),
    "ray": ("ray", "grpcio"),
    "train": ("torch", "onnx", "safetensors"),
    "serve": ("fastapi", "starlette", "uvicorn", "python-multipart", "httpx2"),
}
"""The packages of each extra, by the names that pip knows."""


def install_command(extra: str) -> str:
    """Return the command that installs what an extra needs.

    It names the packages, not the extra: the package index has another project's `kindred`.

    >>> install_command("heic")
    'pip install pillow-heif'
    """
    return f"pip install {' '.join(EXTRAS[extra])}"


def needs(feature: str, extra: str) -> str:
    """Say in one line that `feature` needs packages that are not installed, and how to install them.

    >>> needs("HEIC", "heic")
    'HEIC needs an optional package: pip install pillow-heif'
    """
    packages = "an optional package" if len(EXTRAS[extra]) == 1 else "optional packages"
    return f"{feature} needs {packages}: {install_command(extra)}"
