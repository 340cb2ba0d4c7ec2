"""How often images are given to another process after one was lost with them: the same for all ways of sharing work."""

from __future__ import annotations

__all__ = ["BATCH_TRIES", "IMAGE_TRIES", "LOST"]

BATCH_TRIES = 2
"""Processes that may be lost with a batch of images; after that its images are described one at a time."""
IMAGE_TRIES = 2
"""Processes that may be lost while they describe one image alone; after that it is skipped."""
LOST = f"ended {IMAGE_TRIES} processes that described it"
"""The reason why such an image is skipped."""
