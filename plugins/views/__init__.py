"""Pages that Airflow's own web server shows."""
