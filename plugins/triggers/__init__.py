"""What wakes a DAG."""
