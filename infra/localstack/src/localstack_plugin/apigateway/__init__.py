"""What LocalStack's API Gateway lacks."""
