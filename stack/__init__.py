"""What starts on one machine: services, their supervisor, first-start secrets and the commands behind `make`."""
