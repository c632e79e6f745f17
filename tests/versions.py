"""Which Airflow the tests run on, and what a DAG file imports there."""

from __future__ import annotations

from airflow_provider_runway.compat import AIRFLOW

if AIRFLOW >= (3, 0):
    from airflow.sdk import DAG
else:
    from airflow import DAG

__all__ = ["AIRFLOW", "DAG"]
