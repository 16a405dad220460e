"""What Airflow must know by class: thin shells over `include/`."""
