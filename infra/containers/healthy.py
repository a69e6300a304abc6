"""The health check of an image: `python healthy.py PATH` exits with 0 if the server in this container answers.

A status below 500 will do: a server that asks for a token or knows no such path is alive.
"""

import http.client
import os
import sys


def main(path: str) -> int:
    """Exit code: 1 when there is no answer within 5 s, or the status is 500 or higher."""
    port = os.environ.get("PORT") or os.environ["STREAMLIT_SERVER_PORT"]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"no answer on port {port}: {error}")
        return 1
    finally:
        connection.close()
    print(f"port {port} answers {status}")
    return int(status >= 500)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
