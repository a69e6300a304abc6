"""The UCI archive, the default source of data. Uses only the standard library."""

import urllib.request

URL = "https://archive.ics.uci.edu/static/public/296/diabetes+130-us+hospitals+for+years+1999-2008.zip"
TIMEOUT_SECONDS = 10
WITHOUT = """\
            Using SYNTHETIC data instead. Its predictions say nothing about patients.
            If you have a copy of the archive: make demo DATASET=path/to/archive.zip"""


def problem(url: str = URL) -> str | None:
    """Why the archive cannot be read; None if it can."""
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "readmission"})
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
    except OSError as error:  # includes HTTP errors
        return f"cannot be reached: {getattr(error, 'reason', None) or error}"
    return None
