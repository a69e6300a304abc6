"""LocalStack that listens on 127.0.0.1 only; run by LocalStack's own Python, not imported.

LocalStack 2026.3.0 takes only the port from GATEWAY_LISTEN and listens on every interface
(`localstack/runtime/server/twisted.py`), where anyone in the network could deploy and run code.
"""

from functools import partial

from twisted.internet import endpoints

endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")

if __name__ == "__main__":
    from localstack.runtime.main import main

    main()
