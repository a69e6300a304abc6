"""Starting, stopping and inspecting the whole platform."""
