"""What a deployment made, on disk: a new LocalStack gets it back in seconds, where deploying again takes a minute."""
