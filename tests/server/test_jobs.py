"""Background jobs: progress, events, cancellation, results, problems, and updating from folders."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from kindred.errors import UsageError
from kindred.library import Library
from kindred.server import create_app
from kindred.server import job as job_module
from kindred.server.jobs import MOST_ENDED, MOST_EVENTS, Job, JobCancelled, JobRunning, Jobs, JobUnknown
from kindred.server.journal import Journal
from kindred.server.problems import Problem
from kindred.service import KeysForm, RequestForm
from kindred.service.facts import folder_id
from live_server import serving
from pictures import make_folder
from served import ADDRESS, COUNT, MakeClient

PATIENCE = 30


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


@pytest.fixture
def every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every report of progress be an event."""
    monkeypatch.setattr(job_module, "BETWEEN_EVENTS", 0.0)


def ended(job: Job) -> Job:
    deadline = time.monotonic() + PATIENCE
    after = 0
    while not job.ended:
        assert time.monotonic() < deadline
        events = job.wait(after, timeout=1)
        after = events[-1].id if events else after
    return job


def waits_for(release: threading.Event) -> Callable[[Job], None]:
    def work(_: Job) -> None:
        assert release.wait(PATIENCE)

    return work


@pytest.mark.usefixtures("every_event")
def test_a_job_has_progress_skipped_files_and_a_result(jobs: Jobs) -> None:
    def work(job: Job) -> KeysForm:
        job.begin("Counting", unit="words")
        for done in range(1, 5):
            job.report(done, 4)
        job.skip([(Path("a.jpg"), "empty file"), (Path("b.jpg"), "truncated")])
        return KeysForm({"price": 2})

    job = ended(jobs.start("map", "A map", work))
    form = job.form().to_json()
    assert (form["kind"], form["title"], form["state"]) == ("map", "A map", "done")
    assert (form["stage"], form["unit"], form["done"], form["total"]) == ("Counting", "words", 4, 4)
    assert form["skipped"] == 2
    assert form["skipped_files"] == [
        {"path": "a.jpg", "reason": "empty file"},
        {"path": "b.jpg", "reason": "truncated"},
    ]
    assert form["result"] == {"keys": {"price": 2}}
    assert form["problem"] is None
    assert form["finished"] is not None
    names = [event.name for event in job.events()]
    assert names == ["progress", "progress", *["progress"] * 4, "skipped", "progress", "done"]
    assert [event.id for event in job.events()] == list(range(1, len(names) + 1))
    assert [event.data["done"] for event in job.events()[2:6]] == [1, 2, 3, 4]
    assert job.events()[-1].data["result"] == {"keys": {"price": 2}}


def test_only_one_job_of_a_kind_runs(jobs: Jobs) -> None:
    release = threading.Event()
    first = jobs.start("index", "Updating", waits_for(release))
    with pytest.raises(JobRunning, match="'Updating' is running already") as caught:
        jobs.start("index", "Again", waits_for(release))
    assert caught.value.job == first.id
    assert caught.value.status == 409
    other = jobs.start("map", "A map", waits_for(release))
    assert jobs.running("index") is first
    release.set()
    ended(first), ended(other)
    assert jobs.running("index") is None
    ended(jobs.start("index", "Again", waits_for(release)))
    assert [job.title for job in jobs.all("index")] == ["Again", "Updating"]


def test_a_cancelled_job_stops_and_says_what_it_did(jobs: Jobs) -> None:
    begun = threading.Event()

    def work(job: Job) -> None:
        begun.set()
        while not job.stopping:
            time.sleep(0.01)
        raise JobCancelled(KeysForm({"done": 3}))

    job = jobs.start("map", "A map", work)
    assert begun.wait(PATIENCE)
    job.cancel()
    assert ended(job).form().to_json()["state"] == "cancelled"
    assert job.form().to_json()["result"] == {"keys": {"done": 3}}
    assert [event.name for event in job.events()] == ["progress", "progress", "cancelled"]
    assert [event.data["stopping"] for event in job.events()] == [False, True, False]
    job.cancel()  # has no effect on a job that has ended
    assert len(job.events()) == 3


def test_check_ends_a_cancelled_job(jobs: Jobs) -> None:
    def work(job: Job) -> None:
        while True:
            job.check()
            time.sleep(0.01)

    job = jobs.start("map", "A map", work)
    job.cancel()
    assert ended(job).state == "cancelled"


def test_errors_of_a_job_are_problems_without_paths(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(_: Job) -> None:
        raise UsageError("/home/me/x: is empty; give another")

    def broken(_: Job) -> None:
        raise ValueError("/home/me/secret")

    def refused(_: Job) -> None:
        raise Problem(409, "there is no map")

    problems = [ended(jobs.start("map", "A map", work)).form().problem for work in (wrong, broken, refused)]
    assert all(problem is not None for problem in problems)
    assert [problem["status"] for problem in problems if problem] == [400, 500, 409]
    assert problems[0] is not None
    assert (problems[0]["detail"], problems[0]["hint"]) == ("…: is empty", "give another")
    assert "home" not in json.dumps(problems)
    assert "/home/me/secret" in caplog.text  # in the log of the server


@pytest.mark.usefixtures("every_event")
def test_events_that_are_forgotten_are_replaced_by_the_present_state(jobs: Jobs) -> None:
    release = threading.Event()

    def work(job: Job) -> None:
        job.skip([(Path("a.jpg"), "empty file")])
        for done in range(1, MOST_EVENTS + 101):
            job.report(done, 1000)
        assert release.wait(PATIENCE)

    job = jobs.start("map", "A map", work)
    last = MOST_EVENTS + 103
    while not job.wait(last - 1, timeout=0.1):
        pass
    found = job.events(5)
    assert len(found) == MOST_EVENTS + 1
    assert found[0].name == "progress"
    assert found[0].data["skipped_files"] == [{"path": "a.jpg", "reason": "empty file"}]
    assert found[0].data["done"] == MOST_EVENTS + 100
    assert [event.id for event in found] == list(range(last - MOST_EVENTS, last + 1))
    assert [event.id for event in job.events(last - 2)] == [last - 1, last]
    release.set()
    assert len(ended(job).events()) == 21


def test_old_jobs_are_forgotten(jobs: Jobs) -> None:
    first = ended(jobs.start("map", "0", lambda _: None))
    for number in range(1, MOST_ENDED + 2):
        ended(jobs.start("map", str(number), lambda _: None))
    assert len(jobs.all()) == MOST_ENDED + 1
    with pytest.raises(JobUnknown, match="there is no job"):
        jobs.get(first.id)


def test_closing_cancels_waits_and_starts_no_more(jobs: Jobs) -> None:
    finished: list[str] = []

    def work(job: Job) -> None:
        while not job.stopping:
            time.sleep(0.01)
        time.sleep(0.1)
        finished.append(job.id)

    job = jobs.start("map", "A map", work)
    jobs.close()
    assert finished == [job.id]
    with pytest.raises(Problem, match="the server is ending"):
        jobs.start("map", "A map", lambda _: None)


def test_closing_does_not_wait_for_ever() -> None:
    release = threading.Event()
    jobs = Jobs()
    job = jobs.start("map", "A map", waits_for(release))
    jobs.close(timeout=0.05)
    assert not job.ended
    release.set()


def test_a_listener_that_fails_does_not_hurt_the_job(jobs: Jobs) -> None:
    called: list[int] = []
    release = threading.Event()
    job = jobs.start("map", "A map", waits_for(release))

    def fails() -> None:
        called.append(1)
        raise RuntimeError("the loop is closed")

    leave = job.listen(fails)
    job.listen(lambda: called.append(2))
    release.set()
    ended(job)
    assert called == [1, 2]
    leave()


# Over HTTP


def events_of(client: TestClient, job: str, **headers: str) -> list[dict[str, Any]]:
    """Return the events of a stream that is read to its end."""
    answer = client.get(f"/api/v1/jobs/{job}/events", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append({"id": int(fields["id"]), "name": fields["event"], "data": json.loads(fields["data"])})
    return found


@pytest.mark.usefixtures("every_event")
def test_a_folder_is_updated_with_progress(make_client: MakeClient, photos: list[Path]) -> None:
    folder = photos[0].parents[1]
    make_folder(folder / "c", 5, first=50)
    (folder / "c/bad.jpg").touch()
    client = make_client()
    answer = client.post("/api/v1/jobs/index", json={"folder": folder_id(folder)})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    events = events_of(client, job["id"])
    assert events[-1]["name"] == "done"
    result = events[-1]["data"]["result"]
    assert (result["found"], result["indexed"], result["unchanged"]) == (COUNT + 6, 5, COUNT)
    skipped = [file for event in events if event["name"] == "skipped" for file in event["data"]["skipped_files"]]
    assert skipped == [{"path": str(folder / "c/bad.jpg"), "reason": "empty file"}]
    last = [event["data"] for event in events if event["name"] == "progress"][-1]
    assert (last["stage"], last["unit"], last["total"]) == ("Describing images", "files", COUNT + 6)
    assert client.get("/api/v1/health").json()["images"] == COUNT + 5
    state = client.get(f"/api/v1/jobs/{job['id']}").json()
    assert (state["state"], state["skipped"], state["result"]) == ("done", 1, result)
    assert [each["id"] for each in client.get("/api/v1/jobs", params={"kind": "index"}).json()["jobs"]] == [job["id"]]
    assert client.get("/api/v1/jobs", params={"kind": "map"}).json() == {"jobs": []}


@pytest.mark.usefixtures("every_event")
def test_names_that_are_not_utf_8_are_answered_everywhere(make_client: MakeClient, photos: list[Path]) -> None:
    folder = photos[0].parents[1] / "caf\udce9"
    pictures = make_folder(folder, 2, first=50)
    copy, bad = folder / "copy-\udce9.jpg", folder / "bad-\udce9.jpg"
    copy.write_bytes(pictures[0].read_bytes())
    bad.touch()
    client = make_client(folders=(folder,))
    job = client.post("/api/v1/jobs/index", json={"folder": folder_id(folder)}).json()
    events = events_of(client, job["id"])
    skipped = [file for event in events if event["name"] == "skipped" for file in event["data"]["skipped_files"]]
    assert [file["path"] for file in skipped] == [str(bad)]
    assert client.get(f"/api/v1/jobs/{job['id']}").json()["skipped_files"][0]["path"] == str(bad)
    assert client.get("/api/v1/jobs").json()["jobs"][0]["skipped_files"][0]["path"] == str(bad)
    assert client.get("/api/v1/library/skipped").json()["skipped"][0]["path"] == str(bad)
    assert str(folder) in [each["path"] for each in client.get("/api/v1/library").json()["folders"]]
    images = client.get("/api/v1/images").json()["images"]
    ids = [image["id"] for image in images if image["path"] == str(copy)]
    exported = client.post("/api/v1/export", json={"ids": ids, "format": "json"}).json()["images"]
    assert [image["path"] for image in exported] == [str(copy)]
    events_of(client, client.post("/api/v1/duplicates", json={}).json()["id"])
    groups = client.get("/api/v1/duplicates").json()["groups"]
    assert str(copy) in [image["path"] for group in groups for image in group["images"]]


@pytest.mark.usefixtures("every_event")
def test_a_stream_resumes_where_it_was(make_client: MakeClient) -> None:
    client = make_client()
    job = client.post("/api/v1/jobs/index", json={}).json()["id"]
    events = events_of(client, job)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    resumed = events_of(client, job, **{"Last-Event-ID": str(events[-3]["id"])})
    assert resumed == events[-2:]
    done = client.get(f"/api/v1/jobs/{job}/events", headers={"Last-Event-ID": str(events[-1]["id"])})
    assert done.status_code == 204
    assert events_of(client, job, **{"Last-Event-ID": "nonsense"})[-1] == events[-1]


def test_only_allowed_folders_are_indexed(make_client: MakeClient, tmp_path: Path) -> None:
    other, allowed = tmp_path / "other", tmp_path / "allowed"
    make_folder(other, 2, first=80)
    make_folder(allowed, 3, first=90)
    client = make_client(folders=(allowed,))
    for wrong in (folder_id(other), str(other), "../other", "", "x" * 40):
        answer = client.post("/api/v1/jobs/index", json={"folder": wrong})
        assert answer.status_code in (404, 422), wrong
        assert str(tmp_path) not in answer.text
    assert client.post("/api/v1/jobs/index", json={"path": str(other)}).status_code == 422
    assert client.post("/api/v1/jobs/index", json={"prune": "all"}).status_code == 422
    job = client.post("/api/v1/jobs/index", json={"folder": folder_id(allowed)}).json()["id"]
    assert events_of(client, job)[-1]["data"]["result"]["indexed"] == 3
    everything = client.post("/api/v1/jobs/index", json={}).json()
    assert everything["title"] == "Updating 2 folders"
    assert events_of(client, everything["id"])[-1]["data"]["result"]["unchanged"] == COUNT + 3


def test_a_folder_that_is_not_there_is_a_problem(make_client: MakeClient, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    client = make_client(folders=(gone,))
    gone.rmdir()
    answer = client.post("/api/v1/jobs/index", json={"folder": folder_id(gone)})
    assert answer.status_code == 409
    assert answer.json()["detail"] == "the folder 'gone' does not exist"
    job = client.post("/api/v1/jobs/index", json={}).json()  # the others are updated
    assert job["title"] == "Updating photos"
    assert events_of(client, job["id"])[-1]["name"] == "done"


def test_an_index_job_is_cancelled_and_resumed(make_client: MakeClient, photos: list[Path]) -> None:
    make_folder(photos[0].parent, 400, first=100)
    client = make_client()
    job = client.post("/api/v1/jobs/index", json={}).json()["id"]
    deadline = time.monotonic() + PATIENCE
    while client.get(f"/api/v1/jobs/{job}").json()["done"] < 1:
        assert time.monotonic() < deadline
    second = client.post("/api/v1/jobs/index", json={})
    assert second.status_code == 409
    assert second.json()["hint"] == "wait for its end, or cancel it"
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 202
    last = events_of(client, job)[-1]
    assert last["name"] == "cancelled"
    indexed = last["data"]["result"]["indexed"]
    assert indexed < 400
    assert client.get("/api/v1/health").json()["images"] == COUNT + indexed
    again = client.post("/api/v1/jobs/index", json={}).json()["id"]
    assert events_of(client, again)[-1]["data"]["result"]["indexed"] == 400 - indexed


def test_unknown_jobs_are_not_found(client: TestClient) -> None:
    for method, path in (("GET", "x"), ("DELETE", "x"), ("GET", "x/events")):
        answer = client.request(method, f"/api/v1/jobs/{path}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_locked_library_fails_the_job_with_a_problem(make_client: MakeClient, library: Path) -> None:
    client = make_client()
    with Library.open(library) as other, other.store.indexing():
        job = client.post("/api/v1/jobs/index", json={}).json()["id"]
        last = events_of(client, job)[-1]
    assert last["name"] == "failed"
    assert last["data"]["problem"]["status"] == 503
    assert str(library) not in json.dumps(last)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_sigterm_ends_a_stream_and_a_run_whose_work_is_kept(library: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "more", 1500, first=1000)
    with serving(library, ["--folder", str(tmp_path / "more")]) as server:
        job = httpx.post(f"{server.api}/jobs/index", json={"folder": folder_id(tmp_path / "more")}).json()["id"]
        names: list[str] = []
        with httpx.stream("GET", f"{server.api}/jobs/{job}/events", timeout=PATIENCE) as stream:
            for line in stream.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    names.append(value)
                if name == "data" and json.loads(value)["done"] > 0 and "interrupted" not in names:
                    server.process.send_signal(signal.SIGTERM)
        assert names[-1] == "interrupted"  # the stream ended by itself, after the last event
        server.process.wait(PATIENCE)
    with Library.open(library) as opened:
        kept = len(opened) - COUNT
        assert 0 < kept < 1500
        report = opened.index(tmp_path / "more")
        assert (report.indexed, report.unchanged) == (1500 - kept, kept)


def server_events(api: str, job: str) -> list[dict[str, str]]:
    lines = httpx.get(f"{api}/jobs/{job}/events").text.splitlines()
    return [{"name": line.removeprefix("event: ")} for line in lines if line.startswith("event: ")]


def journal_of(library: Path, *, state: str) -> tuple[Path, str]:
    """Write a journal with one job, as a server leaves it that was killed; return its file and the id of the job."""
    with Library.open(library) as opened, contextlib.closing(Journal.of(opened)) as journal:
        form = Job(
            "duplicates", "Searching for duplicates", again=RequestForm("/duplicates", {"threshold": 0.9})
        ).form()
        journal.write([replace(form, state=state)])  # type: ignore[arg-type]
        return library / "jobs.json", form.id


def test_ended_jobs_are_listed_after_a_restart(make_client: MakeClient, library: Path) -> None:
    with TestClient(create_app(library), base_url=ADDRESS) as client:
        job = client.post("/api/v1/jobs/index", json={}).json()["id"]
        before = events_of(client, job)[-1]["data"]
    (after,) = make_client().get("/api/v1/jobs").json()["jobs"]
    assert after == {**before, "skipped_files": []}
    assert after["state"] == "done"
    assert after["result"]["unchanged"] == COUNT


def test_an_interrupted_job_is_reported_until_it_is_forgotten(make_client: MakeClient, library: Path) -> None:
    _, uid = journal_of(library, state="running")
    client = make_client()
    (job,) = client.get("/api/v1/jobs", params={"kind": "duplicates"}).json()["jobs"]
    assert (job["id"], job["state"], job["problem"]["title"]) == (uid, "interrupted", "The job was interrupted")
    assert job["again"]["body"] == {"threshold": 0.9}
    assert client.delete(f"/api/v1/jobs/{uid}").json()["state"] == "interrupted"
    assert client.get("/api/v1/jobs").json() == {"jobs": []}
    assert make_client().get("/api/v1/jobs").json() == {"jobs": []}


def test_a_second_server_leaves_the_journal_to_the_first(make_client: MakeClient, library: Path) -> None:
    file, uid = journal_of(library, state="running")
    with TestClient(create_app(library), base_url=ADDRESS) as first:
        assert [job["id"] for job in first.get("/api/v1/jobs").json()["jobs"]] == [uid]
        written = file.read_bytes()
        second = make_client()
        assert second.get("/api/v1/jobs").json() == {"jobs": []}
        events_of(second, second.post("/api/v1/jobs/index", json={}).json()["id"])
        assert file.read_bytes() == written
    assert uid in [job["id"] for job in second.get("/api/v1/jobs").json()["jobs"]]  # once it is alone


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b'{"version":1,"library":"x","jobs":[]}', b'{"version":1}', b"[" * 100_000]
)
def test_a_damaged_journal_is_an_empty_one(make_client: MakeClient, library: Path, content: bytes) -> None:
    file, _ = journal_of(library, state="running")
    file.write_bytes(content)
    client = make_client()
    assert client.get("/api/v1/jobs").json() == {"jobs": []}
    job = client.post("/api/v1/jobs/index", json={}).json()["id"]
    assert events_of(client, job)[-1]["name"] == "done"


def test_a_read_only_server_writes_no_journal(make_client: MakeClient, library: Path) -> None:
    client = make_client(read_only=True)
    assert client.get("/api/v1/jobs").json() == {"jobs": []}
    assert not list(library.glob("jobs.*"))


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_kill_during_an_index_run_loses_only_what_was_not_committed(library: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "more", 1500, first=1000)
    with serving(library, ["--folder", str(tmp_path / "more")]) as server:
        job = httpx.post(f"{server.api}/jobs/index", json={}).json()["id"]
        deadline = time.monotonic() + PATIENCE
        while httpx.get(f"{server.api}/health").json()["images"] == COUNT:
            assert time.monotonic() < deadline, httpx.get(f"{server.api}/jobs/{job}").text
        server.process.kill()
        server.process.wait(PATIENCE)
    with Library.open(library) as opened:
        kept = len(opened)
        assert kept > COUNT
    with serving(library, ["--folder", str(tmp_path / "more")]) as server:
        assert httpx.get(f"{server.api}/health").json()["images"] == kept
        (before,) = httpx.get(f"{server.api}/jobs").json()["jobs"]
        assert (before["id"], before["state"], before["finished"]) == (job, "interrupted", None)
        assert before["problem"]["hint"] == "start it again to go on"
        assert [each["name"] for each in server_events(server.api, job)] == ["interrupted"]
        assert before["again"] == {"path": "/jobs/index", "body": {"folder": None, "prune": "keep"}}
        job = httpx.post(server.api + before["again"]["path"], json=before["again"]["body"]).json()["id"]
        assert [each["id"] for each in httpx.get(f"{server.api}/jobs").json()["jobs"]] == [job]
        while (state := httpx.get(f"{server.api}/jobs/{job}").json())["state"] == "running":
            assert time.monotonic() < deadline + PATIENCE
            time.sleep(0.05)
        assert state["result"]["indexed"] == 1500 + COUNT - kept
