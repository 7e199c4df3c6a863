"""Run cells on this machine, each in a process of its own, several at a time."""

import contextlib
import fcntl
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from cleanfit.benchmark.cell import Cell
from cleanfit.benchmark.work import WORK, cell_path, failed_cell, run_cell
from cleanfit.errors import OutputError
from cleanfit.results import write_json

# A cell whose process dies is tried again once: that it was killed for memory beside another one says nothing of itself.
N_ATTEMPTS = 2


@dataclass(frozen=True)
class Workers:
    """How cells are run here.

    Args:
        jobs: processes at a time, >= 1; the CPU threads are divided between them.
        per_gpu: cells that share a GPU, >= 1; not looked at without GPUs.
        n_gpus: GPUs to spread them over.
    """

    jobs: int = 1
    per_gpu: int = 1
    n_gpus: int = 0

    @property
    def n_threads(self) -> int:
        """CPU threads of each process."""
        return max(len(os.sched_getaffinity(0)) // self.jobs, 1)

    def gpu(self, slot: int) -> str | None:
        """Say which GPU a process may see."""
        return str(slot // self.per_gpu % self.n_gpus) if self.n_gpus else None


def run_local(cells: Sequence[Cell], out: Path, workers: Workers, done: Callable[[Cell], None]) -> None:
    """Run cells, in order.

    Args:
        cells: to run.
        out: the benchmark's folder.
        workers: how many at a time.
        done: told of every cell whose file is written.
    """
    # Forked from a server that has imported everything: a process a cell, without ten seconds of imports each.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cleanfit.benchmark.work"])
    queue = deque((cell, 1) for cell in cells)
    free = list(reversed(range(workers.jobs)))
    running: dict[int, tuple[Any, Cell, int, int]] = {}  # sentinel -> process, cell, slot, attempt
    alive, ours = context.Pipe(duplex=False)
    try:
        while queue or running:
            while queue and free:
                (cell, attempt), slot = queue.popleft(), free.pop()
                arguments = (cell, out, workers.n_threads, workers.gpu(slot), alive)
                process = context.Process(target=_work, args=arguments, daemon=True)
                process.start()
                running[process.sentinel] = (process, cell, slot, attempt)
            for sentinel in wait(list(running)):
                process, cell, slot, attempt = running.pop(sentinel)  # type: ignore[arg-type]
                process.join()
                free.append(slot)
                if cell_path(out, cell.name).exists():
                    done(cell)
                elif attempt < N_ATTEMPTS:
                    queue.appendleft((cell, attempt + 1))
                else:
                    error = f"Its process ended {N_ATTEMPTS} times without a result, last with code {process.exitcode}."
                    write_json(cell_path(out, cell.name), failed_cell(cell, error))
                    done(cell)
    finally:
        for process, *_ in running.values():
            process.terminate()
        ours.close()


def _work(cell: Cell, out: Path, n_threads: int, gpu: str | None, alive: Connection) -> None:
    """Run a cell in this process, and end with the benchmark, however that ends."""
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # read when CUDA is first used, which is later
    log = out / WORK / f"{cell.name}.log"
    with log.open("a") as stream, (out / WORK / "workers").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        run_cell(cell, out, n_threads)
    log.unlink()


def _end_with(alive: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        alive.recv()  # nothing is ever sent: this returns when the other end is gone
    os._exit(1)


@contextlib.contextmanager
def alone_in_bench(out: Path) -> Iterator[None]:
    """Hold a benchmark's folder, and wait until the processes of a benchmark that was killed in it are gone too."""
    with (out / WORK / "lock").open("w") as stream, (out / WORK / "workers").open("w") as workers:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(f"Another benchmark is running in '{out}'.") from None
        fcntl.flock(workers, fcntl.LOCK_EX)
        fcntl.flock(workers, fcntl.LOCK_UN)
        yield
