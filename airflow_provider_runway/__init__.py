"""AI videos in Airflow DAGs: Runway's models through kie.ai."""

__version__ = "0.1.0"

#: Where this package is documented.
DOCS_URL = "https://airflow-provider-runway.readthedocs.io/en/stable/"
