"""A real Airflow and a simulated kie.ai on this machine, for system tests and the demo."""
