"""The server that clients write to, for scripts that run them."""

import contextlib
import os
import subprocess


@contextlib.contextmanager
def endpoint(programs):
    """Yields the environment for the server, and its address if it is the instant one."""
    given = os.environ.get("STATUS_TEST_ENDPOINT")
    if given:
        yield environment(given), None
        return
    with subprocess.Popen([programs["instant-dynamodb"]], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip()
            yield environment(url), url
        finally:
            server.kill()


def environment(url):
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "STATUS_TABLE_NAME": "bench-status",
    }
