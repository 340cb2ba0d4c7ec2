"""Losses: functions of vectors and of what is known of them, each at most twenty lines.

Those on pairs take queries (B, D), references (M, D) and their relation (B, M): 1 for the same thing, −1 for another,
0 for not known. Those on classes take vectors (B, D), the classes' weights (K, D) and labels (B,). All are in the
table `LOSSES`; a case with nothing to learn from is a 0 that has a gradient.
"""

from kindred.training.losses.table import LOSSES, Loss, find_loss

__all__ = ["LOSSES", "Loss", "find_loss"]
