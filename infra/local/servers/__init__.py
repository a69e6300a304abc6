"""Everything that belongs to one server: its command line, its files, and how to tell that it is ready."""
