"""Whether a worker has something before it: what waits for its next try keeps the memory open."""

from pathlib import Path

from tests.integration.memory.accepted_world import Recorder, saying, worker_of
from tests.support.waiting import until
from xiaozhi_server.core.providers.memory.mem0ai.accepting.accepted import Accepted
from xiaozhi_server.core.providers.memory.mem0ai.accepting.file import FileJournal
from xiaozhi_server.core.providers.memory.mem0ai.accepting.worker import WorkOptions

PATIENT = WorkOptions(idle_pause_s=0.02, first_retry_s=0.3, lease_s=0.5)


async def test_a_worker_is_busy_with_what_runs_and_with_what_comes_again(tmp_path: Path) -> None:
    failures = iter([OSError("the model is away")])

    def fails(accepted: Accepted) -> BaseException | None:
        return next(failures, None)

    journal, doer = FileJournal(tmp_path / "journal.sqlite"), Recorder(fails)
    worker = worker_of(journal, doer, PATIENT)
    assert not worker.is_busy
    doer.go_on.clear()
    await worker.accept("add", "ann", saying("I like teal."))
    await until(lambda: doer.begun)
    assert worker.is_busy, "it is being done"
    doer.go_on.set()
    await until(lambda: not worker._jobs)
    assert worker.is_busy, "it failed, and comes again"
    await until(lambda: doer.done)
    await until(lambda: not worker.is_busy)
    assert [one.attempts for one in doer.begun] == [1, 2]
    await worker.stop(1.0)
    await journal.close()
