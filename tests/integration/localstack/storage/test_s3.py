"""S3 keeps its objects in the working folder."""

from tests.integration.localstack.server import Server


def test_large_objects_are_in_the_working_folder(server: Server) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="large", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="large", Key="object", Body=b"x" * 2_000_000)
    assert list(server.temporary.glob("localstack-lambda-*/s3/large"))
    assert s3.get_object(Bucket="large", Key="object")["Body"].read() == b"x" * 2_000_000
    s3.delete_object(Bucket="large", Key="object")
    s3.delete_bucket(Bucket="large")
