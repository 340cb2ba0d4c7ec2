"""Mining: which images a step looks at, and which of their pairs and triplets count.

Planners make the `Plan` of each epoch: `Shuffled`, `ClassBalanced` and `ListedPairs` from labels or listed pairs,
`HardNegatives`, `ManifoldMining` and `PseudoLabels` from the vectors by the current network. `TRIPLETS` are the triplets
of a batch. `relation_of` says which pairs show the same thing.
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
