"""What kie.ai speaks: plain data in, plain data out. Imports neither Airflow nor an HTTP library."""
