"""One side's process: it runs all waits in one event loop, as the triggerer does, and measures itself.

python -m benchmarks.waiter '{"side": "ours", "tasks": 1000, ...}'
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import random
import selectors
import sys
import time
from typing import Any

from benchmarks import sides
from benchmarks.server import Task

#: Ready after so many seconds, uniformly.
READY_AFTER = (30.0, 45.0)
#: Of that, nothing but waiting, from so many seconds after the last start on.
SETTLED_AFTER = 5.0


class MeasuringSelector(selectors.EpollSelector):
    """Notes how long each turn of the event loop took: for so long, nobody else could run."""

    def __init__(self) -> None:
        super().__init__()
        self.longest_wall = 0.0
        self.longest_cpu = 0.0
        self._wall = time.perf_counter()
        self._cpu = time.thread_time()

    def select(self, timeout: float | None = None) -> Any:
        self.longest_wall = max(self.longest_wall, time.perf_counter() - self._wall)
        self.longest_cpu = max(self.longest_cpu, time.thread_time() - self._cpu)
        events = super().select(timeout)
        self._wall = time.perf_counter()
        self._cpu = time.thread_time()
        return events

    def take(self) -> dict[str, float]:
        """Return the longest turn so far, and begin afresh."""
        longest = {"wall": self.longest_wall, "cpu": self.longest_cpu}
        self.longest_wall = self.longest_cpu = 0.0
        return longest


def memory() -> int:
    """Return this process's resident memory in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(
    side: sides.Side,
    selector: MeasuringSelector,
    tasks: int,
    ready_after: tuple[float, float],
    start_over: float,
    patience: float,
) -> dict[str, Any]:
    """
    Run all waits and return what was measured.

    :param side: Gives the coroutine of one wait.
    :param selector: The event loop's.
    :param tasks: How many there are.
    :param ready_after: Between how many seconds they are ready after their creation.
    :param start_over: Seconds over which the starts are spread evenly; 0 means all at once.
    :param patience: Seconds after which waits that have not ended are given up.
    """
    numbers = random.Random(7)
    delays: list[float] = []
    settled: dict[str, float] = {}

    async def watch_settled(begin: float, end: float) -> None:
        # From one whole second of the clock to another, as the server counts its polls.
        await asyncio.sleep(begin - time.time())
        settled["from"], used = begin, time.process_time()
        await asyncio.sleep(end - time.time())
        settled["to"], settled["cpu"] = end, time.process_time() - used

    async def one(task: Task) -> None:
        await side(task)
        delays.append(time.time() - task.ready_at)

    # What a first poll imports is not to be counted.
    await side(Task(time.time() - 60, time.time() - 1, 0))
    gc.collect()
    # The collector's walks through what Airflow has imported stall every side alike, except for the floor.
    gc.freeze()
    memory_before = most_memory = memory()
    await asyncio.sleep(0.1)
    selector.take()
    cpu, began = time.process_time(), time.monotonic()
    window = (
        math.ceil(time.time() + start_over + SETTLED_AFTER),
        math.floor(time.time() + ready_after[0]),
    )
    watcher = asyncio.create_task(watch_settled(*window)) if window[0] < window[1] else None
    waits = []
    for number in range(tasks):
        if (early := began + start_over * number / tasks - time.monotonic()) > 0:
            await asyncio.sleep(early)
        created_at = time.time()
        task = Task(created_at, created_at + numbers.uniform(*ready_after), number)
        waits.append(asyncio.create_task(one(Task.from_id(task.id))))
        # The triggerer gives the others a turn too between two that it starts.
        await asyncio.sleep(0)
    starting, start_stall = time.monotonic() - began, selector.take()
    pending: set[asyncio.Task[None]] = set(waits)
    while pending and time.monotonic() - began < patience:
        _, pending = await asyncio.wait(pending, timeout=1.0)
        most_memory = max(most_memory, memory())
    for wait in pending:
        wait.cancel()
    failed = [wait.exception() for wait in waits if wait.done() and not wait.cancelled() and wait.exception()]
    if watcher:
        watcher.cancel()
    for error in failed[:3]:
        print(repr(error), file=sys.stderr)
    delays.sort()
    return {
        "finished": len(delays),
        "failed": len(failed),
        "cpu": time.process_time() - cpu,
        "seconds": time.monotonic() - began,
        "starting": starting,
        "settled": settled if "cpu" in settled and starting < start_over + SETTLED_AFTER else None,
        "start_stall": start_stall,
        "stall": selector.take(),
        "memory": most_memory - memory_before,
        "delay_p50": delays[len(delays) // 2] if delays else None,
        "delay_p95": delays[int(len(delays) * 0.95)] if delays else None,
    }


def main() -> None:
    what = json.loads(sys.argv[1])
    result = os.fdopen(os.dup(1), "w")
    # Airflow logs to standard output; in the triggerer a log line costs more than this.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    side = sides.make(
        what["side"],
        host=what["host"],
        scheme=what["scheme"],
        authority=what["authority"],
        interval=what["interval"],
    )
    selector = MeasuringSelector()
    loop = asyncio.SelectorEventLoop(selector)
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda *_: None)
    measured = loop.run_until_complete(
        measure(
            side,
            selector,
            tasks=what["tasks"],
            ready_after=tuple(what["ready_after"]),
            start_over=what["start_over"],
            patience=what["patience"],
        )
    )
    print(json.dumps(measured), file=result, flush=True)
    # What is left of a side that was given up needs no orderly end.
    os._exit(0)


if __name__ == "__main__":
    main()
