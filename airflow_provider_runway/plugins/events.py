"""Says with an asset event that a Runway task has ended, so that DAGs which are scheduled by the asset start.

Internal to Airflow as :mod:`~airflow_provider_runway.plugins.waking` is: there from 3.1 to 3.3. Like a
callback, an event carries no result: whoever starts by it looks the Runway task up by its ID.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import asset_manager, conf
from airflow_provider_runway.links import xcoms
from airflow_provider_runway.triggers.results import REQUEST_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)

#: Assets that nobody has defined, as has been said once.
_MISSING: set[str] = set()


def callback_asset() -> str:
    """Return the name or the URI of the asset whose events callbacks are; empty for no events."""
    return conf.get("runway", "callback_asset", fallback="") or ""


def emit(session: Session, ti: Any, runway_task_id: str) -> None:
    """
    Emit the asset event of a Runway task that has ended, with what is stored in the same session; none where
    nobody has defined the asset.

    :param session: A session of Airflow's database.
    :param ti: The task instance that submitted.
    :param runway_task_id: The Runway task ID.
    """
    named = callback_asset()
    asset = _defined(session, named)
    if asset is None or asset_manager is None:
        if named not in _MISSING:
            _MISSING.add(named)
            log.warning(
                "[runway] callback_asset=%r: no DAG that is there has an asset of this name or URI, so its "
                "callbacks are no events.",
                named,
            )
        return
    extra = {
        "runway_task_id": runway_task_id,
        **{name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "map_index")},
        **_model(session, ti),
    }
    with _in_the_next_run(session, asset):
        asset_manager.register_asset_change(task_instance=ti, asset=asset, extra=extra, session=session)
    log.info("Runway task %s is an event of asset %r", runway_task_id, named)


@contextmanager
def _in_the_next_run(session: Session, asset: Any) -> Iterator[None]:
    """
    Let an event that is emitted inside be of the next run of each DAG that is scheduled by the asset.

    Airflow starts a run for what was there when the first event was queued, and forgets then that there was
    another: of two videos that end within a second, the later one would wait for a third.
    """
    from airflow.models.asset import AssetDagRunQueue, AssetModel
    from sqlalchemy import select, update

    # Nobody else queues or takes what is queued meanwhile; Airflow passes over what is locked.
    lock = select(AssetModel.id).where(AssetModel.id == asset.id)
    session.execute(lock.with_for_update(key_share=True))
    queued = AssetDagRunQueue.asset_id == asset.id
    session.execute(select(AssetDagRunQueue.target_dag_id).where(queued).with_for_update())
    yield
    session.execute(update(AssetDagRunQueue).where(queued).values(created_at=datetime.now(timezone.utc)))


def _defined(session: Session, named: str) -> Any:
    """Return the asset of this name or, without one, of this URI, if a DAG uses it."""
    from airflow.models.asset import AssetModel
    from sqlalchemy import select

    # Airflow gives a URI without a path a slash.
    for is_it in (AssetModel.name == named, AssetModel.uri.in_((named, f"{named}/"))):
        asset = session.scalar(select(AssetModel).where(is_it, AssetModel.active.has()).limit(1))
        if asset is not None:
            return asset
    return None


def _model(session: Session, ti: Any) -> dict[str, str]:
    """Return which model the task has asked for, which a look-up has to name, where it has noted that."""
    of = {"dag_id": ti.dag_id, "run_id": ti.run_id}
    found = xcoms.read(session, (REQUEST_KEY,), **of, task_ids=[ti.task_id], map_indexes=[ti.map_index])
    noted = found[0][3] if found else None
    model = noted.get("model") if isinstance(noted, dict) else None
    return {"model": model} if isinstance(model, str) else {}
