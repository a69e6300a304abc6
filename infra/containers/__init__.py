"""The container images: what builds them, and what is in them."""
