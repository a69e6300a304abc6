"""SageMaker's training jobs, as processes of this machine."""
