"""Mining: which images meet in a batch, and which of their pairs and triplets a loss uses.

Planners make the `Plan` of each epoch: `Shuffled`, `ClassBalanced` and `ListedPairs` from labels or listed pairs,
`HardNegatives`, `ManifoldMining` and `PseudoLabels` from the vectors by the current network. `TRIPLETS` is the table of
the ways to select triplets within a batch. `relation_of` tells positive from negative pairs.
"""

from kindred.training.mining.clusters import PseudoLabels
from kindred.training.mining.in_batch import TRIPLETS
from kindred.training.mining.manifold import ManifoldMining
from kindred.training.mining.plan import Plan, Planner
from kindred.training.mining.pool import HardNegatives
from kindred.training.mining.relations import relation_of
from kindred.training.mining.samplers import ClassBalanced, ListedPairs, Shuffled

__all__ = [
    "TRIPLETS",
    "ClassBalanced",
    "HardNegatives",
    "ListedPairs",
    "ManifoldMining",
    "Plan",
    "Planner",
    "PseudoLabels",
    "Shuffled",
    "relation_of",
]
