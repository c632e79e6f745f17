"""The only module that asks which Airflow runs: one name, one version, one reason a line.

A name is imported when it is first asked for, so that a DAG file does not pay for what only a running task
needs. Airflow 3 moved what DAG authors use to ``airflow.sdk``; Airflow 2 has it where it always was.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version

#: Major and minor version of the Airflow that runs.
AIRFLOW: tuple[int, int] = (int(airflow_version.split(".")[0]), int(airflow_version.split(".")[1]))

#: The state of a task survives its retries: ``context["task_state_store"]``.
HAS_TASK_STATE_STORE = AIRFLOW >= (3, 3)
#: A task that starts in the triggerer gets its templates rendered there, and can end there with its XComs.
RUNS_TASKS_IN_TRIGGERER = AIRFLOW >= (3, 3)
#: A task can have a policy that decides on its retries.
HAS_RETRY_POLICIES = AIRFLOW >= (3, 3)
#: The connection form is read from the provider info; before, the hook class is asked for it.
READS_FORM_FROM_PROVIDER_INFO = AIRFLOW >= (3, 2)
#: Plugins can add tabs to the UI, and their apps know a logged-in person by the UI's cookie.
HAS_TABS = AIRFLOW >= (3, 1)
#: The API server can take a callback, keep it for a task, and wake that task.
CAN_BE_CALLED = AIRFLOW >= (3, 1)

if TYPE_CHECKING:
    from airflow.assets.manager import asset_manager as asset_manager
    from airflow.models.trigger import handle_event_submit as handle_event_submit
    from airflow.models.xcom import XComModel as XComModel
    from airflow.plugins_manager import AirflowPlugin as AirflowPlugin
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger as DateTimeTrigger
    from airflow.sdk import Asset as Asset
    from airflow.sdk import AssetAlias as AssetAlias
    from airflow.sdk import BaseHook as BaseHook
    from airflow.sdk import BaseOperator as BaseOperator
    from airflow.sdk import BaseOperatorLink as BaseOperatorLink
    from airflow.sdk import BaseSensorOperator as BaseSensorOperator
    from airflow.sdk import Connection as Connection
    from airflow.sdk import Context as Context
    from airflow.sdk import ObjectStoragePath as ObjectStoragePath
    from airflow.sdk import PokeReturnValue as PokeReturnValue
    from airflow.sdk import TaskGroup as TaskGroup
    from airflow.sdk import Variable as Variable
    from airflow.sdk import XComArg as XComArg
    from airflow.sdk.configuration import conf as conf
    from airflow.sdk.definitions.asset import AssetRef as AssetRef
    from airflow.sdk.definitions.retry_policy import RetryPolicy as RetryPolicy
    from airflow.sdk.exceptions import AirflowException as AirflowException
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.sdk.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.exceptions import TaskDeferred as TaskDeferred
    from airflow.sdk.log import mask_secret as mask_secret
    from airflow.sdk.observability.stats import Stats as Stats
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger

#: Where each name is, from which version on; the newest first. Older modules of Airflow 3 still answer, but
#: warn that they are deprecated.
_HOMES: dict[str, tuple[tuple[tuple[int, int], str], ...]] = {
    # The SDK is the public face of Airflow 3 for authors of tasks.
    **{
        name: (((3, 0), "airflow.sdk"), ((2, 11), home))
        for name, home in {
            "BaseOperator": "airflow.models.baseoperator",
            "BaseOperatorLink": "airflow.models.baseoperatorlink",
            "BaseSensorOperator": "airflow.sensors.base",
            "Connection": "airflow.models.connection",
            "Context": "airflow.utils.context",
            "ObjectStoragePath": "airflow.io.path",
            "PokeReturnValue": "airflow.sensors.base",
            "TaskGroup": "airflow.utils.task_group",
            "Variable": "airflow.models.variable",
        }.items()
    },
    # The SDK of 3.0 has no hooks yet.
    "BaseHook": (((3, 1), "airflow.sdk"), ((2, 11), "airflow.hooks.base")),
    # Workers know the SDK alone, and from 3.2 on it has its own.
    **dict.fromkeys(
        (
            "AirflowException",
            "AirflowFailException",
            "AirflowNotFoundException",
            "AirflowSensorTimeout",
            "AirflowSkipException",
            "TaskDeferred",
        ),
        (((3, 2), "airflow.sdk.exceptions"), ((2, 11), "airflow.exceptions")),
    ),
    "Stats": (((3, 2), "airflow.sdk.observability.stats"), ((2, 11), "airflow.stats")),
    "conf": (((3, 2), "airflow.sdk.configuration"), ((2, 11), "airflow.configuration")),
    "mask_secret": (
        ((3, 1), "airflow.sdk.log"),
        ((3, 0), "airflow.sdk.execution_time.secrets_masker"),
        ((2, 11), "airflow.utils.log.secrets_masker"),
    ),
    # Workers have a plugin manager of their own from 3.2 on, and either takes plugins of both.
    "AirflowPlugin": (((3, 2), "airflow.sdk.plugins_manager"), ((2, 11), "airflow.plugins_manager")),
    # The table of XComs, beside what reads them for a task.
    "XComModel": (((3, 0), "airflow.models.xcom"), ((2, 11), "airflow.models.xcom:BaseXCom")),
    # What resumes a deferred task, and what emits asset events: no public ones, so they may go.
    "handle_event_submit": (((3, 0), "airflow.models.trigger"),),
    "asset_manager": (((3, 0), "airflow.assets.manager"),),
    # Airflow 2 calls assets datasets.
    "Asset": (((3, 0), "airflow.sdk"), ((2, 11), "airflow.datasets:Dataset")),
    "AssetAlias": (((3, 0), "airflow.sdk"), ((2, 11), "airflow.datasets:DatasetAlias")),
    # Airflow 2 has no references by a name or a URI, so nothing else is one there.
    "AssetRef": (((3, 0), "airflow.sdk.definitions.asset"), ((2, 11), "airflow.datasets:Dataset")),
    # Without them, its import must not fail either: who makes one is told.
    "RetryPolicy": (((3, 3), "airflow.sdk.definitions.retry_policy"), ((2, 11), "builtins:object")),
    # Airflow 2 has no watchers of assets, but its import of them must not fail.
    "BaseEventTrigger": (
        ((3, 0), "airflow.triggers.base"),
        ((2, 11), "airflow.triggers.base:BaseTrigger"),
    ),
    # Moved out of the core with the other standard operators.
    "DateTimeTrigger": (
        ((3, 0), "airflow.providers.standard.triggers.temporal"),
        ((2, 11), "airflow.triggers.temporal"),
    ),
}


def get_connection(conn_id: str) -> Connection:
    """
    Return a connection. Blocks: not for an event loop.

    :param conn_id: The connection's ID.
    :raises AirflowNotFoundException: there is none.
    """
    from airflow_provider_runway.compat import BaseHook, Connection, mask_secret

    # In a task of 3.0, Airflow's hook warns that the SDK is to be asked, which has no hook yet.
    runner = sys.modules.get("airflow.sdk.execution_time.task_runner")
    if AIRFLOW != (3, 0) or not hasattr(runner, "SUPERVISOR_COMMS"):
        return BaseHook.get_connection(conn_id)
    connection: Connection = Connection.get(conn_id)
    for secret in (connection.password, connection.extra):
        if secret:
            mask_secret(secret)
    return connection


#: Names without which everything else works.
_MAY_BE_MISSING = ("handle_event_submit", "asset_manager")


def __getattr__(name: str) -> Any:
    for since, home in _HOMES.get(name, ()):
        if since <= AIRFLOW:
            module, _, former_name = home.partition(":")
            try:
                value = getattr(importlib.import_module(module), former_name or name)
            except (ImportError, AttributeError):
                if name not in _MAY_BE_MISSING:
                    raise
                value = None
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
