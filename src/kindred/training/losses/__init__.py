"""Losses: functions of vectors and their labels or relations, each at most twenty lines.

Those on pairs take queries (B, D), references (M, D) and their relation (B, M): 1 for positive, −1 for negative,
0 for unknown pairs. Those on classes take vectors (B, D), the classes' weights (K, D) and labels (B,). All are in the
table `LOSSES`; a batch without any usable pair or label gives a 0 with a gradient.
"""

from kindred.training.losses.table import LOSSES, Loss, find_loss

__all__ = ["LOSSES", "Loss", "find_loss"]
