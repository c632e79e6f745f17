"""What the hook adds to HTTP for files: a video is fetched from where it is, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity
from airflow.providers.http.hooks.http import HttpHook

from airflow_provider_runway.api.requests import check_url
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayError,
    RunwayRequestError,
    RunwayServerError,
    RunwayTaskNotFoundError,
)
from airflow_provider_runway.files import addresses, naming, writing
from airflow_provider_runway.files.download import Download, picture
from airflow_provider_runway.files.keeping import Keeper, Kept
from airflow_provider_runway.hooks import transport

if TYPE_CHECKING:
    from requests import Session

    from airflow_provider_runway.api.tasks import RunwayTask
    from airflow_provider_runway.hooks.connection import RunwaySettings

T = TypeVar("T")

#: Seconds until a URL that was refused is asked for again.
_SECOND_LOOK = 1.0


class KeepingHook(HttpHook):
    """The part of :class:`~airflow_provider_runway.hooks.runway.RunwayHook` that stores videos."""

    patience: float

    @cached_property
    def settings(self) -> RunwaySettings:
        """What the connection says."""
        raise NotImplementedError

    def keep_video(
        self,
        path: str,
        *,
        task: RunwayTask | None = None,
        video_url: str | None = None,
        request: dict[str, Any] | None = None,
        overwrite: bool = False,
        manifest: bool = False,
        thumbnail: bool = False,
    ) -> Kept:
        """
        Store a video, streamed, and return what was stored. The file is not visible before it is complete.

        A broken connection is resumed where it broke off. If the URL is refused, it is requested again, then
        a fresh record of the task, then kie.ai's route for downloads. The API key is not sent to the host of
        the video.

        :param path: A local path, or a URI like ``s3://connection@bucket/key.mp4``; one that ends with ``/``
            is a folder, in which the file is named after the Runway task or, without one, after the URL.
        :param task: The finished Runway task.
        :param video_url: The public URL of the video; used without ``task``.
        :param request: What was requested, for the manifest.
        :param overwrite: Replace any existing file, and the files next to it that belong to another video by
            its manifest. Without it, the same video counts as stored, and another file is an error.
        :param manifest: Write a manifest next to the video, as a JSON file.
        :param thumbnail: Store its first picture next to it; if that fails, a warning is logged.
        :raises RunwayVideoExpiredError: there is no such video (any more).
        :raises RunwayServerError: it could not be downloaded completely; nothing is left under the path.
        :raises RunwayStorageError: the storage did not accept it.
        :raises RunwayValidationError: the path is invalid; another file is there; or the video is on a
            private address that the connection does not allow.
        """
        url = (task.video_url or "") if task is not None else check_url("video_url", video_url)
        keeper = Keeper(path, task=task, video_url=url, request=request, overwrite=overwrite)
        if manifest:
            keeper.check_manifest()
        earlier_picture = keeper.earlier_picture() if thumbnail and overwrite else None
        kept = keeper.already()
        if kept is None:
            kept = self._keep(keeper, task.result_url() if task is not None else url, task)
            self.log.info("Stored %s (%d bytes)", kept.path, kept.size)
        else:
            self.log.info("%s is there already (%d bytes)", kept.path, kept.size)
        if manifest:
            keeper.write_manifest(kept)
        else:
            keeper.clear_up(kept)
        if thumbnail:
            self._keep_thumbnail(task, kept.path, overwrite, earlier_picture)
        return kept

    def download_video(self, video_url: str, path: str) -> int:
        """
        Store a video as :meth:`keep_video` does, and return its size in bytes.

        :param video_url: The public URL of the video.
        :param path: A local path, or a URI like ``s3://connection@bucket/key.mp4``; an existing file is
            replaced.
        :raises RunwayVideoExpiredError: there is no such video (any more).
        :raises RunwayServerError: it could not be downloaded completely; nothing is left under the path.
        """
        return self.keep_video(path, video_url=video_url, overwrite=True).size

    def get_task(self, runway_task_id: str, *, model: str = "runway") -> RunwayTask:
        """See :class:`~airflow_provider_runway.hooks.runway.RunwayHook`."""
        raise NotImplementedError

    def get_download_url(self, video_url: str) -> str:
        """See :class:`~airflow_provider_runway.hooks.runway.RunwayHook`."""
        raise NotImplementedError

    def _repeat(self, attempt: Callable[[], T], may_repeat: Callable[[RunwayError], bool]) -> T:
        raise NotImplementedError

    def _keep(self, keeper: Keeper, url: str, task: RunwayTask | None) -> Kept:
        try:
            return self._repeat(lambda: self._store(keeper, url, task), lambda error: error.repeat_lookup)
        except RunwayError as error:
            of = f" (Runway task {task.task_id})" if task else ""
            after = f"Downloading {url.partition('?')[0]}{of} has failed."
            if isinstance(error, RunwayServerError):
                after += f" Nothing half is left under {keeper.path}; kie.ai keeps the video for 14 days."
            raise error.explain(after=after, runway_task_id=task.task_id if task else None) from None

    def _others(self, url: str, task: RunwayTask | None) -> Iterator[str]:
        """Yield where a video may be beside its URL, one after the other as each is refused."""
        tenacity.nap.sleep(_SECOND_LOOK)
        yield url
        if task is not None:
            try:
                fresh = self.get_task(task.task_id, model=task.model).result_url()
            except (RunwayTaskNotFoundError, RunwayRequestError) as error:
                self.log.info("There is no fresh record of it: %s", error)
            else:
                if fresh != url:
                    yield fresh
        try:
            yield self.get_download_url(url)
        except (RunwayRequestError, RunwayAuthenticationError) as error:
            self.log.info("There is no other URL of it: %s", error)

    def _store(self, keeper: Keeper, url: str, task: RunwayTask | None) -> Kept:
        with self._public_session() as session:
            return keeper.store(self._download(session, url, self._others(url, task)).chunks)

    @contextmanager
    def _public_session(self) -> Iterator[Session]:
        """Open a session that does not know the key, and that reaches no private address."""
        with self.get_conn() as session:
            session.auth = None
            if self.adapter is None and not self.settings.allow_private_hosts:
                guard = addresses.PublicOnly(allowed=self._own_hosts)
                session.mount("http://", guard)
                session.mount("https://", guard)
            yield session

    @property
    def _own_hosts(self) -> tuple[str, ...]:
        return self.settings.base_url, self.settings.upload_host

    def _download(self, session: Session, url: str, others: Iterator[str] | None = None) -> Download:
        def check(address: str) -> None:
            if not self.settings.allow_private_hosts:
                addresses.check_public(address, allowed=self._own_hosts)

        return Download(
            session,
            url,
            others=others,
            patience=self.patience,
            check_url=check,
            timeout=self.settings.timeout,
            **transport.connection_first(session),
        )

    def _keep_thumbnail(
        self, task: RunwayTask | None, path: str, overwrite: bool, earlier_picture: str | None
    ) -> None:
        url = task.image_url if task is not None else None
        if not url:
            self.log.info("kie.ai names no thumbnail of it")
            return
        try:
            with self._public_session() as session:
                content, ending = picture(self._download(session, check_url("image_url", url)))
            writing.store([content], naming.beside(path, ending), replace=overwrite)
            # Any other picture may be somebody's own.
            if earlier_picture not in (None, ending):
                writing.remove(naming.beside(path, earlier_picture))
        except FileExistsError:
            self.log.info("There is a picture beside %s already", path)
        # A storage raises what it likes, and the video is stored.
        except Exception as error:
            self.log.warning("The thumbnail could not be stored: %s", error)
