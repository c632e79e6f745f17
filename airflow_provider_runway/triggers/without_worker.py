"""Whether a task can end in the triggerer, without a worker: not where it asks for what only one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_runway.compat import RUNS_TASKS_IN_TRIGGERER

if TYPE_CHECKING:
    from airflow_provider_runway.compat import BaseOperator

#: What a worker calls when a wait has ended. A class derived from ours may do more there.
_CALLED_AT_THE_END = ("resume_execution", "execute_complete", "_finish", "post_execute")


def can_end(operator: BaseOperator) -> bool:
    """
    Return whether a task that has succeeded can end in the triggerer, which pushes its XComs.

    A worker is needed for events of ``outlets``, the callback at success, ``post_execute``,
    ``multiple_outputs`` and ``do_xcom_push=False``; for listeners, which the triggerer does not call; and for
    an XCom backend of one's own, which may do what blocks all triggers.

    :param operator: The task.
    """
    if not RUNS_TASKS_IN_TRIGGERER:
        return False
    needs_worker = (
        operator.outlets
        or operator.on_success_callback
        or operator._post_execute_hook
        or operator.multiple_outputs
        or operator.returns_dag_result
        or not operator.do_xcom_push
        or not all(_is_ours(operator, name) for name in _CALLED_AT_THE_END)
    )
    return not needs_worker and not _has_listeners() and not _has_xcom_backend()


def _is_ours(operator: BaseOperator, method: str) -> bool:
    module: str = getattr(type(operator), method).__module__
    return module.split(".")[0] in ("airflow", "airflow_provider_runway")


def _has_listeners() -> bool:
    from airflow.sdk.listener import get_listener_manager

    return bool(get_listener_manager().has_listeners)


def _has_xcom_backend() -> bool:
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    return XCom is not BaseXCom
