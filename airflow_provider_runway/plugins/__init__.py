"""The app in Airflow's API server."""
