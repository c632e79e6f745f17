"""Says with an asset event that a Runway task has ended, so that DAGs which are scheduled by the asset start.

Internal to Airflow as :mod:`~airflow_provider_runway.plugins.waking` is: there from 3.1 to 3.3. Like a
callback, an event carries no result: whoever starts by it looks the Runway task up by its ID.
"""

from __future__ import annotations

import logging
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


def emit(session: Session, ti: Any, runway_task_id: str) -> bool:
    """
    Emit the asset event of a Runway task that has ended, with what is stored in the same session.

    :param session: A session of Airflow's database.
    :param ti: The task instance that submitted.
    :param runway_task_id: The Runway task ID.
    :return: Whether there is an event: not where nobody has defined the asset.
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
        return False
    extra = {
        "runway_task_id": runway_task_id,
        **{name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id", "map_index")},
        **_model(session, ti),
    }
    event = asset_manager.register_asset_change(task_instance=ti, asset=asset, extra=extra, session=session)
    log.info("Runway task %s is an event of asset %r", runway_task_id, named)
    return event is not None


def _defined(session: Session, named: str) -> Any:
    """Return the asset of this name or, without one, of this URI, if a DAG uses it."""
    from airflow.models.asset import AssetModel
    from sqlalchemy import select

    for column in (AssetModel.name, AssetModel.uri):
        asset = session.scalar(select(AssetModel).where(column == named, AssetModel.active.has()).limit(1))
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
