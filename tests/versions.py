"""Which Airflow the tests run on."""

from __future__ import annotations

from airflow import __version__

#: Major and minor version.
AIRFLOW = tuple(int(part) for part in __version__.split(".")[:2])
