"""Mining: which images a step looks at, and which of their pairs and triplets count.

Planners make the `Plan` of each epoch: `Shuffled`, `ByClass` and `FromPairs` from labels or listed pairs,
`HardNegatives`, `OnManifold` and `PseudoLabels` from the vectors by the current network. `TRIPLETS` are the triplets
of a batch. `relation_of` says which pairs show the same thing.
"""

from kindred.training.mining.clusters import PseudoLabels
from kindred.training.mining.in_batch import TRIPLETS
from kindred.training.mining.manifold import OnManifold
from kindred.training.mining.plan import Plan, Planner
from kindred.training.mining.pool import HardNegatives
from kindred.training.mining.relations import relation_of
from kindred.training.mining.samplers import ByClass, FromPairs, Shuffled

__all__ = [
    "TRIPLETS",
    "ByClass",
    "FromPairs",
    "HardNegatives",
    "OnManifold",
    "Plan",
    "Planner",
    "PseudoLabels",
    "Shuffled",
    "relation_of",
]
