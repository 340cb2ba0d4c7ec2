"""How commands start: the threads of matrix products."""

from __future__ import annotations

import pytest

from kindred.cli.loading import limit_threads


@pytest.mark.parametrize(
    ("arguments", "given", "expected"),
    [
        (["search", "a.jpg"], {}, {"OPENBLAS_NUM_THREADS": "1"}),
        (["search", "a.jpg"], {"OPENBLAS_NUM_THREADS": "8"}, {"OPENBLAS_NUM_THREADS": "8"}),
        (["search", "a.jpg", "--rerank", "diffusion"], {}, {}),
        (["search", "a.jpg", "--rerank=diffusion"], {}, {}),
        (["match", "photos", "--rerank", "aqe"], {}, {}),
        (["index", "photos"], {}, {"OPENBLAS_NUM_THREADS": "1"}),
        (["match", "photos"], {}, {"OPENBLAS_NUM_THREADS": "1"}),
        (["evaluate", "search"], {}, {}),
        ([], {}, {}),
    ],
)
def test_describing_and_searching_multiply_with_one_thread_unless_the_user_says_otherwise(
    arguments: list[str], given: dict[str, str], expected: dict[str, str]
) -> None:
    environment = dict(given)
    limit_threads(arguments, environment)
    assert environment == expected
