"""Pooling: feature maps (B, C, H, W) to one vector per image (B, D).

Every function takes NumPy arrays or PyTorch tensors and returns the same kind; gradients flow in PyTorch. Half
precision is computed in float32. Maps are assumed to be activations after a ReLU, as in the papers; with negative
values every function still returns finite numbers. Only `rmac`, `rgem`, `pyramid_gem` and `cam` return unit vectors,
by definition; normalise the others with `kindred.arrays.l2_normalise`.

`POOLINGS` is the table of them all, read by the command line, the documentation and the contract tests. `pool` takes
a name from it or a custom function.
"""

from __future__ import annotations

from kindred.pooling.basic import average_pool, max_pool, sum_pool
from kindred.pooling.cam import cam, cam_vectors
from kindred.pooling.custom import custom_digest, find_pooling, is_custom
from kindred.pooling.gem import gem, superglobal
from kindred.pooling.regional import pyramid_gem, pyramid_gem_cells, rgem, rgem_regions, rmac, rmac_regions
from kindred.pooling.scda import scda
from kindred.pooling.table import POOLINGS, FittedPooling, Pooling, pool
from kindred.pooling.weighted import PWA_CHANNELS, crow, pwa, pwa_channels, spoc
from kindred.pooling.windows import window_average, window_max, window_sum

__all__ = [
    "POOLINGS",
    "PWA_CHANNELS",
    "FittedPooling",
    "Pooling",
    "average_pool",
    "cam",
    "cam_vectors",
    "crow",
    "custom_digest",
    "find_pooling",
    "gem",
    "is_custom",
    "max_pool",
    "pool",
    "pwa",
    "pwa_channels",
    "pyramid_gem",
    "pyramid_gem_cells",
    "rgem",
    "rgem_regions",
    "rmac",
    "rmac_regions",
    "scda",
    "spoc",
    "sum_pool",
    "superglobal",
    "window_average",
    "window_max",
    "window_sum",
]
