"""The distributions, and the wheel beside an Airflow that has nothing else: ``python -m tests.wheel``."""
