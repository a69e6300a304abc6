"""The program of a runtime process: `python -s -P -B bootstrap.py <handler> <path>...`

Does the work of AWS's /var/runtime/bootstrap.py: loads the runtime interface client, puts the function's code and
layers (`path`s) and the runtime's own packages in front of the standard library, and runs the handler.
"""

import os
import sys


def main() -> None:
    # Imported before the path changes, so that a function cannot replace the runtime interface client. The client's
    # own `__main__` does the same as the lines below but also loads multiprocessing, a sixth of a cold start.
    from awslambdaric import bootstrap as runtime
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient

    program, handler, *paths = sys.argv
    sys.argv = [program, handler]
    packages = os.path.dirname(os.path.dirname(runtime.__file__))
    sys.path.remove(packages)
    sys.path[:0] = [*paths, packages]
    # Polling in its own thread leaves the main thread free to handle signals, as on AWS since Python 3.12.
    client = LambdaRuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"], use_thread_for_polling_next=True)
    runtime.run(handler, client)


if __name__ == "__main__":
    main()
