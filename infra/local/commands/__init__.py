"""What `make` calls: one module per command, and the command line in `cli`."""
