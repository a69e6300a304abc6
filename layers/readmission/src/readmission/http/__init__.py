"""The HTTP edge of every endpoint: problem documents, request ids, headers, and the access log.

`proxy` serves API Gateway events without a framework. `asgi`, `middleware`, `bodies` and `body_limit` need Starlette
and are for the application of *predict* only.
"""
