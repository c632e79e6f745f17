"""What can be set on the simulator: keys, money, durations, limits and where it keeps things."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path

ALEPH_CALLBACKS = ("root", "data")
#: Numbers with another rule than that they must not be negative, or with none.
_OTHER_RULE = ("speed", "spread", "seed")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the simulated kie.ai behaves.

    :param api_keys: the set of keys that are accepted; empty accepts any non-empty key.
    :param separate_accounts: each key is an account of its own, with its own balance, tasks and limits,
        instead of all being keys of one.
    :param balance: credits at the start (and after a reset).
    :param speed: how many times as fast as the real service it is, more than 0: every duration of a task is
        divided by it.
    :param waiting_seconds: seconds that a task is in its first state.
    :param queueing_seconds: seconds that it is queued after that.
    :param generate_seconds: seconds that it is then generating, for a video from text or an image.
    :param extend_seconds: seconds, the same for an extension.
    :param aleph_seconds: seconds, the same for an Aleph video.
    :param spread: random spread of each task's durations, from 0 to below 1: 0.15 means 15 per cent more or
        less.
    :param seed: seed of that spread; the same seed and order of creations give the same durations.
    :param invisible_seconds: seconds for which ``recordInfo`` does not know a task just created on the
        market.
    :param running_limit: how many tasks of an account run at once, one more fails at once; 0: no limit.
    :param rate_limit: how many creations an account may ask for within ``rate_window``; 0 switches it off.
    :param rate_window: the seconds in which ``rate_limit`` creations may come.
    :param moderation_marker: a prompt with this text in it is accepted and fails later by moderation.
    :param webhook_key: signs the callbacks; without one they carry no signature.
    :param callback_retry_seconds: seconds before a callback is sent again, divided by ``speed`` too.
    :param aleph_callback: where the dedicated Aleph's callback names its task, which kie.ai documents in two
        ways: ``root``, as ``taskId`` beside ``data``, or ``data``, as ``data.task_id``.
    :param render: draw the videos; ``False`` serves one tiny clip for all and needs no PyAV, no Pillow.
    :param state_file: SQLite file that keeps tasks and balance across a restart, a killed process included;
        its path, or that as text.
    :param files_dir: folder for uploads and rendered videos, given likewise. Default: beside the state file,
        or temporary.
    :raises ValueError: naming the setting that is out of its range; every number must be finite, and none but
        ``seed`` negative.
    """

    api_keys: frozenset[str] = field(default=frozenset(), repr=False)
    separate_accounts: bool = False
    balance: float = 5916.25
    speed: float = 1.0
    waiting_seconds: float = 1.0
    queueing_seconds: float = 2.0
    generate_seconds: float = 33.0
    extend_seconds: float = 33.0
    aleph_seconds: float = 150.0
    spread: float = 0.15
    seed: int = 0
    invisible_seconds: float = 0.0
    running_limit: int = 100
    rate_limit: int = 20
    rate_window: float = 10.0
    moderation_marker: str = "[moderated]"
    webhook_key: str | None = field(default=None, repr=False)
    callback_retry_seconds: float = 5.0
    aleph_callback: str = "root"
    render: bool = True
    state_file: Path | None = None
    files_dir: Path | None = None

    def __post_init__(self) -> None:
        for known in fields(self):
            value = getattr(self, known.name)
            if isinstance(known.default, bool) or not isinstance(known.default, int | float):
                continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not -math.inf < value < math.inf:
                raise ValueError(f"{known.name} must be a finite number, got {value!r}")
            if value < 0 and known.name not in _OTHER_RULE:
                raise ValueError(f"{known.name} must not be negative, got {value}")
        if self.speed <= 0:
            raise ValueError(f"speed must be greater than 0, got {self.speed}")
        if not 0 <= self.spread < 1:
            raise ValueError(f"spread must be from 0 to below 1, got {self.spread}")
        if isinstance(self.api_keys, str | bytes):
            # Not shown: it is a secret.
            raise ValueError("api_keys must be a set of keys, got a single one")
        for name in ("state_file", "files_dir"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        if self.aleph_callback not in ALEPH_CALLBACKS:
            raise ValueError(
                f"aleph_callback must be one of {', '.join(ALEPH_CALLBACKS)}, got {self.aleph_callback!r}"
            )

    def generating_seconds(self, kind: str) -> float:
        """Seconds that a task is generating at speed 1.

        :param kind: ``generate``, ``extend`` or ``aleph``.
        """
        seconds: float = getattr(self, f"{kind}_seconds")
        return seconds
