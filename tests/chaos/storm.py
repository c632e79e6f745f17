"""The kills and the troubles, spread over the run, and the service manager that starts the killed again."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import requests

from tests.chaos import plan
from tests.chaos.deployment import Deployment
from tests.chaos.evidence import RUN_ID
from tests.chaos.options import Options
from tests.harness.processes import HarnessError

FINAL_STATES = ("success", "failed", "upstream_failed", "skipped")
#: Seconds for which a kill waits for a victim of its kind before one of another kind falls in its place.
PATIENCE = 5
#: How often troubles are added; each hits from one to four requests.
FAULTS_PER_VIDEO = 0.4


class Storm:
    """
    One run's.

    :param options: those of the run
    :param deployment: what it falls on
    :param say: prints a line
    """

    def __init__(self, options: Options, deployment: Deployment, say: Callable[[str], None]) -> None:
        self.kills: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._options = options
        self._deployment = deployment
        self._say = say
        self._restarts: list[tuple[float, str]] = []
        self._ended = 0.0
        self._chance = random.Random(options.seed + 2)

    def rage(self) -> str:
        """Go on until the DAG run has ended, and return its state.

        :raises HarnessError: when it has not ended in the minutes that it has
        """
        options = self._options
        give_up_at = time.monotonic() + 60 * options.minutes
        blows = plan.blows(options.kills, options.seed, options.pause, self._deployment.KILLS)
        faults = plan.faults(options.seed)
        next_fault = time.monotonic()
        next_blow = time.monotonic() + 5 + blows[0].pause if blows else float("inf")
        waiting_since: float | None = None
        next_look = 0.0
        while time.monotonic() < give_up_at:
            now = time.monotonic()
            self.revive()
            if now >= next_fault:
                self._add_fault(faults)
                next_fault = now + self._chance.uniform(0.5, 2)
            # Spread over the whole run, whatever the pace of the machine.
            due = now >= next_blow and self._ended >= 0.6 * (1 - len(blows) / options.kills)
            waiting_since = (waiting_since or now) if due else None
            if waiting_since and self._fall(blows, any_kind=now - waiting_since > PATIENCE):
                next_blow = time.monotonic() + blows[0].pause if blows else float("inf")
            if now >= next_look:
                if state := self._look():
                    return state
                next_look = time.monotonic() + 5
            time.sleep(0.2)
        raise HarnessError(f"the run has not ended after {options.minutes:g} minutes")

    def revive(self, *, everything: bool = False) -> None:
        """Start what was killed and has been away for its time.

        :param everything: whether its time has passed or not
        """
        services = self._deployment.services
        for due, name in list(self._restarts):
            if everything or time.monotonic() >= due:
                self._restarts.remove((due, name))
                services[name].start()
        # Whatever else has ended by itself did so because of a kill, as its service manager would see it.
        waiting = {name for _, name in self._restarts}
        for name, service in services.items():
            if name not in waiting and not service.is_running():
                self._say(f"{name} has ended by itself; starting it again")
                service.start()

    def _fall(self, blows: list[plan.Blow], *, any_kind: bool) -> bool:
        """Let the first kill fall that has a victim, and tell whether one had; the others stay in the list.

        :param any_kind: where none has, let the first one fall on whatever there is
        """
        for blow in blows:
            if self._strike(blow):
                blows.remove(blow)
                return True
        kinds = self._deployment.KILLS
        if any_kind and any(self._strike(replace(blows[0], kind=kind)) for kind in kinds):
            blows.pop(0)
            return True
        return False

    def _strike(self, blow: plan.Blow) -> bool:
        """Kill; tell whether there was something to kill."""
        victims = self._deployment.victims(blow.kind)
        if not victims:
            return False
        victim = victims[int(blow.chance * len(victims))]
        if not victim.kill():
            return False
        what = victim.name
        if victim.service:
            away = self._chance.uniform(*victim.service.away)
            self._restarts.append((time.monotonic() + away, victim.service.name))
            what += f", away for {away:.1f} s"
        self.kills[blow.kind] += 1
        self._say(f"killed ({sum(self.kills.values())}): {blow.kind} [{what}]")
        return True

    def _add_fault(self, faults: Iterator[dict[str, Any]]) -> None:
        simulator = self._deployment.simulator
        with suppress(requests.RequestException):
            stats = simulator.control("GET", "stats", params={"lists": "false"})
            # In step with the videos, so that a slow machine's do not all meet with trouble.
            if sum(self.faults.values()) < 3 + FAULTS_PER_VIDEO * stats["creation_count"]:
                fault = next(faults)
                simulator.add_fault(**fault)
                self.faults[fault["kind"]] += 1

    def _look(self) -> str | None:
        """Say how things stand; return the run's state once it has ended."""
        api = self._deployment.airflow.api
        try:
            state = api.dag_run_state(plan.DAG_ID, RUN_ID)
            states = Counter(api.task_states(plan.DAG_ID, RUN_ID).values())
        except (requests.RequestException, KeyError):
            return None
        self._ended = sum(states[name] for name in FINAL_STATES) / sum(states.values())
        self._say(", ".join(f"{count} {name}" for name, count in sorted(states.items())))
        return state if state in ("success", "failed") else None
