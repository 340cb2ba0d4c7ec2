"""Groups made of the links that a search found: marks, bounds, bursts, shots. The links are given, no file is read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.duplicates import KINDS, DuplicateGroup, Found, grouped
from kindred.duplicates.groups import Image, Kind, SameLink
from kindred.duplicates.links import LINK, DisjointSets, permitted
from kindred.duplicates.turns import Turn
from kindred.errors import UsageError

Near = Sequence[tuple[int, int, float]]


def image(number: int, *, taken: str | None = None, size: tuple[int, int] = (640, 480), ending: str = "jpg") -> Image:
    return Image(Path(f"/p/{number}.{ending}"), 1000 - number, *size, uid=f"{number:016x}", taken=taken)


def found(
    near: Near = (), links: Sequence[SameLink] = (), images: Sequence[Image] | None = None, count: int = 10
) -> Found:
    """Images 0 to 9, the first of which are preferred as references, with these links."""
    made = dict(enumerate(images or [image(number) for number in range(count)]))
    return Found(frozenset(KINDS), 0.9, 0.8, made, tuple(links), np.array(list(near), LINK), len(made))


def same(one: int, other: int, kind: Kind = "same_bytes", score: float = 1.0) -> SameLink:
    return SameLink(one, other, kind, score)


def pairs(*given: tuple[int, int]) -> NDArray[np.int64]:
    return np.array(given, np.int64).reshape(-1, 2)


def names(groups: Sequence[DuplicateGroup]) -> list[tuple[str, list[int]]]:
    return [(group.kind, [int(each.path.stem) for each in group.members]) for group in groups]


def test_links_below_the_threshold_belong_to_no_group_and_need_no_other_search() -> None:
    links = found([(0, 1, 0.95), (1, 2, 0.92), (3, 4, 0.85)])
    assert names(grouped(links)) == [("alike", [0, 1, 2])]
    assert names(grouped(links, threshold=0.93)) == [("alike", [0, 1])]
    assert names(grouped(links, threshold=0.8)) == [("alike", [0, 1, 2]), ("alike", [3, 4])]
    with pytest.raises(UsageError, match=r"the search found links from 0.8: search again"):
        grouped(links, threshold=0.7)


def test_only_groups_of_the_given_kinds_are_returned() -> None:
    links = found([(0, 1, 0.95), (2, 3, 0.92)], [same(0, 4), same(1, 5, "same_picture", 0.9)])
    assert names(grouped(links)) == [
        ("same_bytes", [0, 4]),
        ("same_picture", [1, 5]),
        ("alike", [0, 1]),
        ("alike", [2, 3]),
    ]
    assert names(grouped(links, kinds=["alike"])) == [("alike", [0, 1]), ("alike", [2, 3])]


def test_a_pair_that_is_not_the_same_is_no_group() -> None:
    links = found([(0, 1, 0.95), (2, 3, 0.92)], [same(4, 5), same(6, 7, "same_picture", 0.9)])
    apart = pairs((0, 1), (4, 5), (6, 7))
    assert names(grouped(links, apart=apart)) == [("alike", [2, 3])]
    assert names(grouped(links, apart=apart[1:])) == [("alike", [0, 1]), ("alike", [2, 3])]


def test_a_pair_that_is_not_the_same_is_never_in_one_group_over_others() -> None:
    chain = found([(0, 1, 0.97), (1, 2, 0.96), (2, 3, 0.95)])
    assert names(grouped(chain, apart=pairs((0, 3)))) == [("alike", [0, 1, 2])]  # without the weakest link
    assert names(grouped(chain, apart=pairs((0, 2)))) == [("alike", [0, 1]), ("alike", [2, 3])]
    copies = found((), [same(0, 1, "same_picture", 0.8), same(1, 2), same(2, 3, "same_shot")])
    assert names(grouped(copies, apart=pairs((0, 3)))) == [("same_picture", [1, 2, 3])]


def test_images_that_were_the_same_over_a_marked_one_remain_the_same() -> None:
    """1 is the same as 0, and mirrored as 2; marked as not the same as both, it leaves them to each other."""
    links = [same(0, 1, "same_picture", 0.9), SameLink(1, 2, "same_picture", 0.8, Turn(mirrored=True)), same(2, 3)]
    (group,) = grouped(found((), links), apart=pairs((0, 1), (1, 2), (1, 3)))
    assert names([group]) == [("same_picture", [0, 2, 3])]
    assert [each.mirrored for each in group.members] == [False, True, True]
    assert group.score == pytest.approx(0.8)


def test_who_is_not_the_same_as_a_picture_is_not_the_same_as_its_copies() -> None:
    """0 and 1 are identical; 2 was marked as not the same as 1, for which 0 stands among alike images."""
    links = found([(0, 2, 0.95), (1, 2, 0.96)], [same(0, 1)])
    assert names(grouped(links, apart=pairs((1, 2)))) == [("same_bytes", [0, 1])]
    assert names(grouped(links)) == [("same_bytes", [0, 1]), ("alike", [0, 2])]


def test_another_link_takes_the_place_of_one_that_is_marked() -> None:
    links = found([(0, 1, 0.99), (1, 2, 0.98), (0, 2, 0.97), (2, 3, 0.96)])
    assert names(grouped(links, apart=pairs((1, 2)))) == [("alike", [0, 1]), ("alike", [2, 3])]
    assert names(grouped(links, apart=pairs((0, 1), (1, 2)))) == [("alike", [0, 2, 3])]


def test_marks_of_another_name_of_a_file_count() -> None:
    links = found([(0, 1, 0.95)])
    linked = Found(links.kinds, 0.9, 0.8, links.images, (), links.near, 10, aliases={7: 1})
    assert grouped(linked, apart=pairs((0, 7))) == []
    assert len(grouped(linked, apart=pairs((1, 7)))) == 1


@pytest.mark.parametrize("seed", range(20))
def test_permitted_links_make_the_groups_of_a_literal_construction(seed: int) -> None:
    """The strongest permitted link first, between groups as sets."""
    random = np.random.default_rng(seed)
    near = [(one, other, float(random.random() * 0.1 + 0.9)) for one, other in combinations(range(9), 2)]
    near = [near[at] for at in random.choice(len(near), 12, replace=False)]
    marks = [tuple(sorted(random.choice(9, 2, replace=False).tolist())) for _ in range(5)]
    groups = [{number} for number in range(9)]
    for one, other, _ in sorted(near, key=lambda link: -link[2]):
        first, second = (next(group for group in groups if each in group) for each in (one, other))
        if first is not second and not any(tuple(sorted(pair)) in marks for pair in product(first, second)):
            groups = [group for group in groups if group is not first and group is not second] + [first | second]
    sets = DisjointSets(marks)
    for one, other, _ in permitted(sorted(near, key=lambda link: -link[2]), lambda link: (link[0], link[1]), marks):
        sets.join(one, other)
    made: dict[int, set[int]] = {}
    for number in range(9):
        made.setdefault(sets.find(number), set()).add(number)
    assert sorted(map(sorted, made.values())) == sorted(map(sorted, groups))


def test_images_above_the_upper_bound_are_listed_once() -> None:
    links = found([(1, 0, 0.995), (1, 2, 0.95), (3, 4, 0.999), (5, 6, 0.92)])
    assert names(grouped(links, most=0.99)) == [("alike", [0, 2]), ("alike", [5, 6])]
    (first, _) = grouped(links, most=0.99)
    assert [each.more for each in first.members] == [1, 0]
    assert names(grouped(links, most=1.0))[0] == ("alike", [3, 4])


def test_an_image_stands_for_its_copies_in_a_group_of_alike_images() -> None:
    links = found([(0, 3, 0.95)], [same(0, 1), same(1, 2, "same_picture", 0.9)])
    alike = grouped(links)[-1]
    assert [(each.path.stem, each.more) for each in alike.members] == [("0", 2), ("3", 0)]


def test_pictures_taken_within_seconds_are_a_burst_which_one_stands_for() -> None:
    times = [f"2024-05-31T10:00:{second:02}" for second in (0, 1, 3, 6)] + [None]
    images = [image(number, taken=each) for number, each in enumerate(times)]
    near = [(0, 1, 0.97), (1, 2, 0.96), (2, 3, 0.95), (3, 4, 0.94)]
    groups = grouped(found(near, images=images))
    assert names(groups) == [("burst", [0, 1, 2]), ("alike", [0, 3, 4])]
    assert [each.more for each in groups[1].members] == [2, 0, 0]
    assert groups[0].score == pytest.approx(0.96)
    assert {each.relation for each in groups[0].members[1:]} == {"burst"}


def test_frames_of_a_burst_are_no_copies_although_their_pixels_agree() -> None:
    images = [image(number, taken=f"2024-05-31T10:00:0{number // 2}") for number in range(4)]
    links = [same(0, 1, "same_picture", 0.99), same(1, 2, "same_picture", 0.98), same(2, 3)]
    assert names(grouped(found((), links, images))) == [
        ("same_bytes", [2, 3]),
        ("same_picture", [0, 1]),  # taken in one second: maybe a copy
        ("burst", [0, 2]),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"taken": "2024-05-31"},
        {"taken": "2024-05-31T10:00:03"},
        {"taken": "2024-05-31T10:00:00", "size": (320, 240)},
        {"taken": "2024-05-31T10:00:00", "ending": "png"},
        {},
    ],
)
def test_what_is_no_burst(other: dict[str, str]) -> None:
    """A day alone, three seconds, a smaller copy, another format, and an unknown time."""
    images = [image(0, taken="2024-05-31T10:00:00"), image(1, **other)]  # type: ignore[arg-type]
    assert names(grouped(found([(0, 1, 0.95)], images=images))) == [("alike", [0, 1])]


def test_the_files_of_a_shot_have_one_number() -> None:
    links = [same(0, 1, "same_shot"), same(2, 3, "same_shot"), same(1, 3)]
    (group,) = grouped(found((), links))
    assert (group.kind, [each.shot for each in group.members]) == ("same_picture", [0, 0, 1, 1])
    (apart,) = grouped(found((), [same(4, 5)]))
    assert [each.shot for each in apart.members] == [0, 1]


def test_members_have_the_facts_of_their_images() -> None:
    images = [image(0, taken="2024-05-31T10:00:00"), image(1)]
    (group,) = grouped(found((), [same(0, 1)], images))
    one, other = group.members
    assert (one.id, one.size, one.taken, one.modified) == ("0" * 16, 1000, "2024-05-31T10:00:00", None)
    assert (other.id, other.size, other.taken) == ("0" * 15 + "1", 999, None)
