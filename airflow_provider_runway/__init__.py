"""AI videos in Airflow DAGs: Runway's models through kie.ai."""

__version__ = "0.1.0"
