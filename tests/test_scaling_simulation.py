"""The simulation of indexing by many processes, in cases whose outcome is known."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest


def load(name: str) -> ModuleType:
    file = Path(__file__).resolve().parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulation = load("simulation")
Job, Machines, simulate = simulation.Job, simulation.Machines, simulation.simulate

JOB = Job(100_000, batch=100, lease_seconds=10)
TEN = Machines(10, 0.1)


def test_images_are_divided_among_the_processes() -> None:
    outcome = simulate(JOB, TEN)
    assert outcome.seconds == pytest.approx(100_000 * 0.1 / 10)
    assert outcome.busy_seconds == pytest.approx(100_000 * 0.1)
    assert (outcome.twice, outcome.skipped, outcome.failures) == (0, 0, 0)
    assert outcome.idle == pytest.approx(0, abs=1e-9)


def test_the_same_seed_gives_the_same_run() -> None:
    machines = replace(TEN, image_deviation=0.05, hours_to_failure=0.1)
    assert simulate(JOB, machines, seed=3) == simulate(JOB, machines, seed=3)
    assert simulate(JOB, machines, seed=3) != simulate(JOB, machines, seed=4)


def test_reading_bounds_the_run_where_it_is_slower() -> None:
    job = replace(JOB, bytes_read=1e6)
    outcome = simulate(job, replace(TEN, bandwidth=2e7))  # 20 images a second; the processes describe 100
    assert outcome.seconds == pytest.approx(100_000 / 20, rel=0.01)
    assert outcome.reading > 0.99
    assert simulate(job, replace(TEN, bandwidth=1e9)).reading == 0


def test_the_database_bounds_the_run_where_it_is_slower() -> None:
    outcome = simulate(JOB, replace(TEN, commit_seconds=0.02))
    assert outcome.seconds == pytest.approx(100_000 * 0.02, rel=0.01)


def test_slow_processes_take_fewer_batches() -> None:
    outcome = simulate(JOB, replace(TEN, slow=5, slow_factor=4))
    speed = 5 / 0.1 + 5 / 0.4
    assert outcome.seconds == pytest.approx(100_000 / speed, rel=0.05)
    assert outcome.tail_seconds <= 40.1  # one batch of a slow process


@pytest.mark.parametrize("batch", [10, 100])
def test_an_image_that_kills_its_process_is_skipped_alone(batch: int) -> None:
    outcome = simulate(replace(JOB, batch=batch, poison=1), replace(TEN, start_seconds=1))
    assert outcome.skipped == 1
    assert outcome.failures == 4  # twice with its batch, twice alone
    assert outcome.twice == 2 * batch + 2


def test_poison_is_found_wherever_it_is() -> None:
    outcome = simulate(replace(JOB, poison=30), replace(TEN, start_seconds=1), seed=1)
    assert 25 <= outcome.skipped <= 30  # two may fall into one batch


def test_what_failed_processes_had_is_described_by_others() -> None:
    machines = replace(TEN, hours_to_failure=0.05, start_seconds=5)
    outcome = simulate(JOB, machines)
    expected = outcome.busy_seconds / 180
    assert outcome.failures == pytest.approx(expected, rel=0.4)
    assert outcome.busy_seconds > 100_000 * 0.1
    assert outcome.busy_seconds - 100_000 * 0.1 < outcome.failures * 10
    assert outcome.seconds > 1000


def test_a_process_killed_for_good_leaves_its_work_to_the_others() -> None:
    job = replace(JOB, images=300)
    outcome = simulate(job, replace(TEN, count=2), kill_at=[(1, 12.0)])
    # The third batch was taken by process 0 at 10 s: killing the other one costs nothing.
    assert (outcome.twice, outcome.seconds) == (0, 20.0)
    outcome = simulate(job, replace(TEN, count=2), kill_at=[(0, 12.0)])
    assert (outcome.twice, outcome.seconds) == (100, 32.0)  # its lease ends at 22 s
