"""A LocalStack plug-in: Lambda functions as child processes, redeployable stacks, exact metrics, loopback only."""
