"""The same work on a Ray cluster: Ray only places it. Shards, commits and resume are this package's own.

Workers are actors, one process each, that hold their engines between shards; a lost node's shards are done by the next.
Started by `ray start`, the cluster of RAY_ADDRESS is used; without one, Ray runs on this machine alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from promptcot.errors import MissingExtra, UserError
from promptcot.runner.local import LocalRunner
from promptcot.runner.worker import begin
from promptcot.settings import DomainFile

T = TypeVar("T")
RETRIES = 3  # of an actor that dies, and of the shard it was at


class RayRunner(LocalRunner):
    """The local runner with its workers on a cluster. `run.workers` 0 takes all CPUs (or GPUs) there are."""

    _ray: Any = None  # connected to when there is work

    def start(self, stage: str, gpus: float) -> Executor:
        """Actors for a stage, as many as fit or as the recipe says."""
        ray = self._ray = connect()
        have = ray.cluster_resources()
        fits = int(have.get("GPU", 0) / gpus) if gpus else int(have.get("CPU", 1))
        if gpus and not fits:
            raise UserError(
                f"stage '{stage}' needs {gpus:g} GPUs per worker (run.gpus); the Ray cluster has {have.get('GPU', 0):g}",
                do=f"--set run.gpus.{stage}=0 to run without, or a cluster that has them",
            )
        self.workers = self.running = self.asked or max(fits, 1)
        return RayPool(ray, self.seed, self.workers, gpus, self.domains)

    def kill(self) -> None:
        """Shutting the pool down ends its actors at once."""

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        if self._ray is not None:
            self._ray.shutdown()


class RayPool(Executor):
    """An executor over Ray actors; a call goes to the one with the fewest calls before it."""

    def __init__(
        self, ray: Any, seed: int, workers: int, gpus: float, domains: Sequence[DomainFile] = ()
    ) -> None:
        self._ray = ray
        actor = ray.remote(
            num_cpus=1, num_gpus=gpus, max_restarts=RETRIES, max_task_retries=RETRIES
        )(RemoteWorker)  # fmt: skip
        self._actors = [actor.remote(seed, domains) for _ in range(workers)]
        self._load = [0] * workers

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn(*args)` in a worker."""
        n = self._load.index(min(self._load))
        self._load[n] += 1
        out: Future[T] = Future()

        def settle(done: Future[Any]) -> None:
            self._load[n] -= 1
            error = done.exception()
            failed = self._ray.exceptions
            if isinstance(error, (failed.RayActorError, failed.OutOfMemoryError, failed.NodeDiedError)):
                out.set_exception(BrokenProcessPool(str(error)))
            elif error is not None:
                out.set_exception(error)
            elif isinstance(result := done.result(), UserError):
                out.set_exception(result)
            else:
                out.set_result(result)

        self._actors[n].call.remote(fn, args, kwargs).future().add_done_callback(settle)
        return out

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers."""
        for actor in self._actors:
            self._ray.kill(actor)


class RemoteWorker:
    """A worker process (`promptcot.runner.worker`) as an actor."""

    def __init__(self, seed: int, domains: Sequence[DomainFile] = ()) -> None:
        begin(seed, domains)

    def call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of `fn`, or the user's error it ended with (Ray would wrap it beyond recognition)."""
        try:
            return fn(*args, **kwargs)
        except UserError as e:
            return e


def connect() -> Any:
    """The `ray` module, connected to a cluster.

    Raises:
        MissingExtra: Ray is not installed.
        UserError: the cluster does not answer.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtra("ray", "ray") from None
    if not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
        except ConnectionError as e:
            raise UserError(
                f"Ray: {e}",
                expected="the cluster of RAY_ADDRESS, or the one that `ray start` began on this machine",
                do="`ray status` in this shell; clusters that want a token need RAY_AUTH_MODE=token here too; "
                "or --set run.runner=local",
            ) from None
    return ray
