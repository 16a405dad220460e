"""What happens when Airflow itself starts, or a run does."""
