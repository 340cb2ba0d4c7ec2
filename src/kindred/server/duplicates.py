"""The duplicates of a served library, and the job that searches for them."""

from __future__ import annotations

from collections.abc import Callable

from kindred.duplicates import Review
from kindred.server.jobs import Job
from kindred.server.problems import Problem
from kindred.server.state import State
from kindred.service import ReviewForm, ReviewQuery

__all__ = ["Duplicates", "duplicates_job", "not_searched"]


class Duplicates(Review):
    """The last search for duplicates of a server; a part of its state."""

    def __init__(self, state: State) -> None:
        super().__init__(state.library, read_only=state.settings.read_only)


def not_searched() -> Problem:
    """Return the problem that there was no search for duplicates."""
    title = "Not searched yet"
    return Problem(404, "duplicates were not searched for yet", title=title, hint="POST /duplicates starts the search")


def duplicates_job(state: State, threshold: float | None) -> Callable[[Job], ReviewForm]:
    """Return the work of searching for duplicates; its result are the facts, without groups."""
    review = state.part(Duplicates)

    def work(job: Job) -> ReviewForm:
        def progress(stage: str, done: int, total: int) -> None:
            job.check()
            if stage != job.stage:
                job.begin(stage, unit="pairs" if stage.endswith("pairs") else "images")
            job.report(done, total)

        review.search(threshold=threshold, progress=progress)
        return ReviewForm.of(review, state.library, ReviewQuery(), limit=0)

    return work
