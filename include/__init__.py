"""How the platform works: plain Python that never imports Airflow."""
