"""The accounts of the simulated kie.ai, usually one: its tasks, its credits and its limits."""

from __future__ import annotations

import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from airflow_provider_runway.simulator.clock import Clock
from airflow_provider_runway.simulator.faults import Fault
from airflow_provider_runway.simulator.rules import Refused, Submission
from airflow_provider_runway.simulator.settings import Settings
from airflow_provider_runway.simulator.store import Store
from airflow_provider_runway.simulator.tasks import DAY, Task, plan_task
from airflow_provider_runway.simulator.uploads import Uploads, is_picture, is_video

MODERATED = (400, "Your prompt was caught by our AI moderator. Please adjust it and try again!")
UPSTREAM_FAILURE = (500, "internal error, please try again later.")
TOO_MANY = (400, "Reached the limit for concurrent generations.")
NO_CREDITS = (
    402,
    "Credits insufficient : Your current balance isn't enough to run this request."
    " Please top up to continue.",
)
NO_PICTURE = (451, "Failed to fetch the image. Please check that its URL is public.")
ODD_PICTURE = (400, "Incorrect image format.")
LARGE_PICTURE = (400, "The image is too large. It must have at most 10 MB.")
NO_VIDEO = (400, "Failed to fetch the video. It must be a public HTTPS URL of at most 10 MB.")
ODD_VIDEO = (400, "Incorrect video format.")
#: Bytes that a picture or a source video may have.
INPUT_LIMIT = 10 * 1024 * 1024
#: Seconds that the clock can be put forward: times behind that are none to files and databases.
CENTURY = 100 * 365 * DAY


@dataclass
class _Purse:
    """What each account has of its own: credits, and what it asked for and runs at the moment."""

    balance: float
    asked: deque[float] = field(default_factory=deque)
    running: list[Task] = field(default_factory=list)


class Account:
    """Creates tasks and finds them again.

    Where each key is an account of its own, ``owner`` is its name; it is empty where there is one alone.

    :param settings: prices are fixed, all else is set there.
    :param store: where tasks and balance are kept.
    :param clock: the simulator's time.
    :param uploads: the account's uploaded files, looked at where a request names one as its source.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock, uploads: Uploads) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._uploads = uploads
        self._purses: dict[str, _Purse] = {}
        self.hosts: set[str] = set()
        self.tasks: dict[str, Task] = {task.task_id: task for task in store.tasks()}
        for task in self.tasks.values():
            self._purse(task.owner).running.append(task)
        self.lookups: Counter[str] = Counter()

    def _purse(self, owner: str) -> _Purse:
        if owner not in self._purses:
            kept = self._store.number(_number(owner), self._settings.balance)
            self._purses[owner] = _Purse(kept)
        return self._purses[owner]

    @property
    def balance(self) -> float:
        """Credits left, of all accounts that were ever asked for."""
        if not self._purses:
            return self._purse("").balance if not self._settings.separate_accounts else 0.0
        return sum(purse.balance for purse in self._purses.values())

    def balance_of(self, owner: str) -> float:
        """Return the credits that an account has left."""
        return self._purse(owner).balance

    def now(self) -> float:
        """Return the simulated time in Unix seconds."""
        return self._clock.now()

    def advance(self, seconds: float) -> None:
        """Put the clock forward, by a century in all at most.

        :raises ValueError: where that is no number, negative or too far.
        """
        room = CENTURY - self._clock.advanced
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= room:
            raise ValueError(f"advance must be a number of seconds, from 0 to a century, got {seconds!r}")
        self._clock.advanced += seconds
        self._store.keep(advanced=self._clock.advanced)

    def reset(self) -> None:
        """Forget all tasks and put the balance and the clock back."""
        self._store.clear()
        self._purses.clear()
        self.tasks.clear()
        self.lookups.clear()
        self._clock.advanced = 0.0

    def within_rate(self, owner: str) -> bool:
        """Tell whether one more creation may be asked for now, and count it if so."""
        if not self._settings.rate_limit:
            return True
        now, asked = self.now(), self._purse(owner).asked
        while asked and asked[0] <= now - self._settings.rate_window:
            asked.popleft()
        if len(asked) >= self._settings.rate_limit:
            return False
        asked.append(now)
        return True

    def _runs_too_many(self, purse: _Purse) -> bool:
        """Tell whether one task more would be above the limit."""
        if not self._settings.running_limit:
            return False
        now = self.now()
        purse.running = [task for task in purse.running if task.state(now) not in ("success", "fail")]
        return len(purse.running) >= self._settings.running_limit

    def check_balance(self, submission: Submission, owner: str = "") -> None:
        """Check that an account can pay for a request.

        :raises Refused: 402, where the balance does not cover the price.
        """
        if self._purse(owner).balance < submission.credits:
            raise Refused(*NO_CREDITS)

    def create(
        self,
        submission: Submission,
        *,
        path: str,
        body: dict[str, Any],
        base_url: str,
        fault: Fault | None,
        owner: str = "",
    ) -> Task:
        """Accept a request and charge it, whatever will become of the task."""
        purse = self._purse(owner)
        too_many = self._runs_too_many(purse)
        failure = TOO_MANY if too_many else self._foreseen_failure(submission, fault, owner)
        task = plan_task(
            uuid.uuid4().hex,
            len(self.tasks),
            submission,
            path=path,
            body=body,
            base_url=base_url,
            now=self.now(),
            settings=self._settings,
            failure=failure,
            fault=fault.kind if fault and not too_many else None,
            at_once=too_many,
            owner=owner,
        )
        purse.balance -= task.credits
        if self._settings.running_limit and not too_many:
            purse.running.append(task)
        self.tasks[task.task_id] = task
        self._store.keep(task, **{_number(owner): purse.balance})
        return task

    def look_up(self, task_id: str, generation: str, kinds: tuple[str, ...], owner: str = "") -> Task | None:
        """Return a task as a status request finds it: with its account's key, on the routes it was created
        with, once visible.
        """
        task = self.tasks.get(task_id)
        if task is None or task.owner != owner:
            return None
        if task.submission.generation != generation or task.submission.kind not in kinds:
            return None
        self.lookups[task_id] += 1
        return task if self.now() >= task.visible_at else None

    def force(self, task: Task, state: str, **details: Any) -> None:
        """Put a task into a state for good, see ``Task.force``."""
        task.force(self.now(), state, **details)
        self._store.keep(task)

    def knows(self, task: Task) -> bool:
        """Tell whether the task was not forgotten by a reset."""
        return self.tasks.get(task.task_id) is task

    def disturb_callback(self, task: Task, fault: Fault) -> None:
        """Give the new task's callback a trouble, one of ``CALLBACK_KINDS``."""
        task.callback_fault = fault.kind
        if fault.kind == "callback_late":
            task.callback_delay = fault.seconds / self._settings.speed
        if fault.kind == "callback_repeated":
            task.callback_times = fault.times
        self._store.keep(task)

    def callback_dropped(self, task: Task) -> None:
        """Note that the task's callback was due and will not be sent."""
        task.callback_sent = True
        self._store.keep(task)

    def callback_tried(self, task: Task, *, last: bool) -> None:
        """Note one more try to deliver the task's callback.

        :param last: it needs no more.
        """
        task.callback_attempts += 1
        task.callback_sent = last
        if self.knows(task):
            self._store.keep(task)

    def task_of_result(self, name: str) -> Task | None:
        """Return the task whose result file has this name, while the file is there."""
        task = self.tasks.get(name.split("_", 1)[0])
        if task is None or name not in (task.video_name, task.image_name):
            return None
        return task if task.has_video(self.now()) else None

    def _foreseen_failure(
        self, submission: Submission, fault: Fault | None, owner: str
    ) -> tuple[int, str] | None:
        if fault and fault.kind == "moderation":
            return (MODERATED[0], fault.msg or MODERATED[1])
        if fault and fault.kind == "upstream_failure":
            return (UPSTREAM_FAILURE[0], fault.msg or UPSTREAM_FAILURE[1])
        if self._settings.moderation_marker and self._settings.moderation_marker in submission.prompt:
            return MODERATED
        if submission.kind == "extend":
            return self._parent_failure(submission, owner)
        for url in (submission.image_url, submission.reference_image):
            if url and (failure := self._picture_failure(url)):
                return failure
        return self._video_failure(submission.video_url) if submission.video_url else None

    def _parent_failure(self, submission: Submission, owner: str) -> tuple[int, str] | None:
        parent = self.tasks.get(submission.parent_task_id or "")
        if (
            parent is None
            or parent.owner != owner
            or parent.submission.generation != submission.generation
            or parent.submission.kind == "aleph"
        ):
            return (400, "The parent task does not exist.")
        if parent.state(self.now()) != "success":
            return (400, "The parent task has no video.")
        if parent.expired(self.now()):
            return (400, "The parent task's video has expired.")
        if parent.submission.quality == "1080p":
            return (400, "A 1080p video cannot be extended.")
        return None

    def own_path(self, url: str) -> str | None:
        """Return the path of a URL of the simulator's own, under any name it was ever asked by."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        return unquote(parts.path) if parts.netloc in self.hosts else None

    def _picture_failure(self, url: str) -> tuple[int, str] | None:
        path = self.own_path(url)
        if path is None:
            return NO_PICTURE if _is_dead(url) else None
        if self._is_result(path):
            return None if path.endswith(".jpg") else ODD_PICTURE
        upload = self._uploads.find(path)
        if upload is None:
            return NO_PICTURE
        if not is_picture(upload):
            return ODD_PICTURE
        return LARGE_PICTURE if upload.stat().st_size > INPUT_LIMIT else None

    def _video_failure(self, url: str) -> tuple[int, str] | None:
        path = self.own_path(url)
        if path is None:
            return None if url.startswith("https:") and not _is_dead(url) else NO_VIDEO
        if self._is_result(path):
            return None if path.endswith(".mp4") else ODD_VIDEO
        upload = self._uploads.find(path)
        if upload is None or upload.stat().st_size > INPUT_LIMIT:
            return NO_VIDEO
        return None if is_video(upload) else ODD_VIDEO

    def _is_result(self, path: str) -> bool:
        return self.task_of_result(path.removeprefix("/results/")) is not None


def _number(owner: str) -> str:
    return f"balance {owner}".rstrip()


def _is_dead(url: str) -> bool:
    """Tell whether a foreign address can never answer: the top-level domain that is reserved for that."""
    return (urlsplit(url).hostname or "").endswith(".invalid")
