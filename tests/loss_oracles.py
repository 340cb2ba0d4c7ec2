"""The losses as the papers define them: one pair at a time, in plain Python, with their default options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

Rows = list[list[float]]
Relation = list[list[int]]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def squared(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def plain(a: list[float], b: list[float]) -> float:
    return math.sqrt(squared(a, b))


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def known_pairs(relation: Relation) -> Iterator[tuple[int, int, int]]:
    for i, row in enumerate(relation):
        for j, y in enumerate(row):
            if y:
                yield i, j, y


def slow_contrastive(q: Rows, r: Rows, relation: Relation) -> float:
    terms = []
    for i, j, y in known_pairs(relation):
        d = plain(q[i], r[j])
        terms.append(d * d / 2 if y == 1 else max(0.0, 0.7 - d) ** 2 / 2)
    return mean(terms)


def slow_contrastive_squared(q: Rows, r: Rows, relation: Relation) -> float:
    terms = []
    for i, j, y in known_pairs(relation):
        d = squared(q[i], r[j])
        terms.append(d / 2 if y == 1 else max(0.0, 0.7 - d) / 2)
    return mean(terms)


def slow_triplet(distance: Callable[[list[float], list[float]], float]) -> Callable[..., float]:
    def loss(q: Rows, r: Rows, relation: Relation) -> float:
        terms = []
        for anchor, row in zip(q, relation, strict=True):
            near = [distance(anchor, r[j]) for j, y in enumerate(row) if y == -1]
            far = [distance(anchor, r[j]) for j, y in enumerate(row) if y == 1]
            if near and far:
                terms.append(max(0.0, 0.1 + max(far) - min(near)))
        return mean([term for term in terms if term > 0])

    return loss


def slow_multi_similarity(q: Rows, r: Rows, relation: Relation) -> float:
    terms = []
    for anchor, row in zip(q, relation, strict=True):
        positive = [dot(anchor, r[j]) for j, y in enumerate(row) if y == 1]
        negative = [dot(anchor, r[j]) for j, y in enumerate(row) if y == -1]
        if not positive and not negative:
            continue
        pull = [s for s in positive if negative and s - 0.1 < max(negative)]
        push = [s for s in negative if positive and s + 0.1 > min(positive)]
        total = math.log(1 + sum(math.exp(-2 * (s - 0.5)) for s in pull)) / 2
        terms.append(total + math.log(1 + sum(math.exp(50 * (s - 0.5)) for s in push)) / 50)
    return mean(terms)


def slow_smooth_ap(q: Rows, r: Rows, relation: Relation, temperature: float = 0.01) -> float:
    def step(x: float) -> float:
        return 1 / (1 + math.exp(-x / temperature)) if x > -7 * temperature * 100 else 0.0

    losses = []
    for anchor, row in zip(q, relation, strict=True):
        s = [dot(anchor, other) for other in r]
        positive = [j for j, y in enumerate(row) if y == 1]
        known = [j for j, y in enumerate(row) if y != 0]
        precisions = []
        for j in positive:
            among = 1 + sum(step(s[k] - s[j]) for k in positive if k != j)
            precisions.append(among / (1 + sum(step(s[k] - s[j]) for k in known if k != j)))
        if positive:
            losses.append(1 - mean(precisions))
    return mean(losses)


def slow_circle(q: Rows, r: Rows, relation: Relation) -> float:
    terms = []
    for anchor, row in zip(q, relation, strict=True):
        positive = [dot(anchor, r[j]) for j, y in enumerate(row) if y == 1]
        negative = [dot(anchor, r[j]) for j, y in enumerate(row) if y == -1]
        if positive and negative:
            pull = sum(math.exp(-80 * max(0.0, 1.4 - s) * (s - 0.6)) for s in positive)
            push = sum(math.exp(80 * max(0.0, s + 0.4) * (s - 0.4)) for s in negative)
            terms.append(math.log1p(push * pull))
    return mean(terms)


def slow_sup_con(q: Rows, r: Rows, relation: Relation) -> float:
    terms = []
    for anchor, row in zip(q, relation, strict=True):
        s = [dot(anchor, other) / 0.1 for other in r]
        total = sum(math.exp(s[j]) for j, y in enumerate(row) if y)
        positive = [-math.log(math.exp(s[j]) / total) for j, y in enumerate(row) if y == 1]
        if positive:
            terms.append(mean(positive))
    return mean(terms)


def slow_nt_xent(q: Rows, r: Rows, relation: Relation) -> float:
    terms = []
    for anchor, row in zip(q, relation, strict=True):
        s = [dot(anchor, other) / 0.07 for other in r]
        negative = sum(math.exp(s[j]) for j, y in enumerate(row) if y == -1)
        terms += [-math.log(math.exp(s[j]) / (math.exp(s[j]) + negative)) for j, y in enumerate(row) if y == 1]
    return mean(terms)


def slow_softmax(logits: list[float], label: int) -> float:
    return math.log(sum(math.exp(x) for x in logits)) - logits[label]


def cosine(a: list[float], b: list[float]) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def slow_cross_entropy(v: Rows, w: Rows, labels: list[int]) -> float:
    return mean([slow_softmax([16 * dot(x, c) for c in w], y) for x, y in zip(v, labels, strict=True) if y >= 0])


def slow_normalised_softmax(v: Rows, w: Rows, labels: list[int]) -> float:
    return mean([slow_softmax([cosine(x, c) / 0.05 for c in w], y) for x, y in zip(v, labels, strict=True) if y >= 0])


def slow_arcface(v: Rows, w: Rows, labels: list[int]) -> float:
    terms = []
    for x, y in zip(v, labels, strict=True):
        logits = [30 * cosine(x, c) for c in w]
        if y >= 0:
            angle = math.acos(max(-1.0, min(1.0, cosine(x, w[y]))))
            beyond = angle + 0.5 > math.pi
            logits[y] = 30 * (math.cos(angle) - 0.5 * math.sin(0.5) if beyond else math.cos(angle + 0.5))
            terms.append(slow_softmax(logits, y))
    return mean(terms)


def slow_cosface(v: Rows, w: Rows, labels: list[int]) -> float:
    terms = []
    for x, y in zip(v, labels, strict=True):
        if y >= 0:
            terms.append(slow_softmax([30 * (cosine(x, c) - 0.35 * (k == y)) for k, c in enumerate(w)], y))
    return mean(terms)


def slow_proxy_anchor(v: Rows, w: Rows, labels: list[int]) -> float:
    pull, push = [], []
    for k, proxy in enumerate(w):
        own = [cosine(x, proxy) for x, y in zip(v, labels, strict=True) if y == k]
        others = [cosine(x, proxy) for x, y in zip(v, labels, strict=True) if y >= 0 and y != k]
        if own:
            pull.append(math.log(1 + sum(math.exp(-32 * (s - 0.1)) for s in own)))
        push.append(math.log(1 + sum(math.exp(32 * (s + 0.1)) for s in others)))
    return mean(pull) + mean(push)


ORACLES: dict[str, Callable[..., float]] = {
    "contrastive": slow_contrastive,
    "contrastive_squared": slow_contrastive_squared,
    "triplet": slow_triplet(plain),
    "triplet_squared": slow_triplet(squared),
    "multi_similarity": slow_multi_similarity,
    "smooth_ap": slow_smooth_ap,
    "circle": slow_circle,
    "sup_con": slow_sup_con,
    "nt_xent": slow_nt_xent,
    "cross_entropy": slow_cross_entropy,
    "normalised_softmax": slow_normalised_softmax,
    "arcface": slow_arcface,
    "cosface": slow_cosface,
    "proxy_anchor": slow_proxy_anchor,
}
