"""procrastinate as its own worker uses it: each job is fetched and finished in a transaction of its own."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import procrastinate
from procrastinate import jobs as procrastinate_jobs

from benchmarks.queueing.contender import KEPT_FOR_LATER_S

_FILL = """
INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at)
SELECT 'benchmark', 'nothing', CASE WHEN n <= %(half)s THEN now() + make_interval(secs => %(later)s) END
FROM generate_series(1, %(jobs)s) AS n
"""


class Procrastinate:
    """Its asynchronous connector, and so many tasks of one event loop as there are workers."""

    name = f"procrastinate {procrastinate.__version__}"

    def __init__(self, url: str) -> None:
        self._url = url
        self._run(self._prepare)

    def throughput(self, jobs: int, workers: int) -> float:
        """See ``Contender``."""
        return self._run(lambda app: self._throughput(app, jobs, workers))

    def wake_ups(self, jobs: int) -> list[float]:
        """See ``Contender``."""
        return self._run(lambda app: self._wake_ups(app, jobs))

    def fill(self, jobs: int) -> None:
        """See ``Contender``."""
        self._run(lambda app: self._fill(app, jobs))

    def claims(self, jobs: int) -> list[float]:
        """See ``Contender``."""
        return self._run(lambda app: self._claims(app, jobs))

    def close(self) -> None:
        """Nothing is open between two measurements."""

    def _run(self, act: Callable[[procrastinate.App], Awaitable[Any]]) -> Any:  # noqa: ANN401
        async def run() -> Any:  # noqa: ANN401
            async with self._opened() as app:
                return await act(app)

        return asyncio.run(run())

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[procrastinate.App]:
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=self._url, min_size=1, max_size=12))
        async with app.open_async():
            yield app

    @staticmethod
    async def _prepare(app: procrastinate.App) -> None:
        await app.schema_manager.apply_schema_async()

    async def _fill(self, app: procrastinate.App, jobs: int, half: int | None = None) -> None:
        half = jobs // 2 if half is None else half
        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        # Rows from nowhere: without a notification for each of a million.
        await app.connector.execute_query_async("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
        await app.connector.execute_query_async(_FILL, jobs=jobs, half=half, later=KEPT_FOR_LATER_S)
        await app.connector.execute_query_async("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
        await app.connector.execute_query_async("ANALYZE procrastinate_jobs")

    async def _throughput(self, app: procrastinate.App, jobs: int, workers: int) -> float:
        await self._fill(app, jobs, half=0)
        worker_id = await app.job_manager.register_worker()

        async def work() -> None:
            while (job := await app.job_manager.fetch_job(None, worker_id)) is not None:
                await app.job_manager.finish_job(job, procrastinate_jobs.Status.SUCCEEDED, delete_job=False)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(workers)))
        return time.perf_counter() - began

    async def _wake_ups(self, app: procrastinate.App, jobs: int) -> list[float]:
        claimed = asyncio.Event()
        taken: list[float] = []

        @app.task(name="wake_up")
        async def wake_up() -> None:
            taken.append(time.perf_counter())
            claimed.set()

        await app.connector.execute_query_async("TRUNCATE procrastinate_jobs CASCADE")
        worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False, concurrency=1))
        begun = []
        for _ in range(jobs):
            await asyncio.sleep(0.02)  # until the worker waits again
            claimed.clear()
            begun.append(time.perf_counter())
            await wake_up.defer_async()
            await claimed.wait()
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
        return [end - begin for begin, end in zip(begun, taken, strict=True)]

    async def _claims(self, app: procrastinate.App, jobs: int) -> list[float]:
        worker_id = await app.job_manager.register_worker()
        taken = []
        for _ in range(jobs):
            began = time.perf_counter()
            if await app.job_manager.fetch_job(None, worker_id) is None:
                raise SystemExit("There was nothing to claim.")
            taken.append(time.perf_counter() - began)
        return taken
