"""The tests on every Airflow and Python that are supported: ``python -m tests.matrix``."""
