"""Links of the Runway provider, in Airflow's UI."""
