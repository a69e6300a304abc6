"""The platform on AWS: its stack, and what the application's deployment takes from it."""
