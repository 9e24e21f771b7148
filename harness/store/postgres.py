"""A PostgreSQL that has stopped answering is an error, and Ctrl-C ends the wait for it.

libpq waits for ever for the reply of a server that is paused or behind a broken network, inside C code which no signal
interrupts. psycopg2 lets a function of Python's wait instead, for all connections of the process, MLflow's and Optuna's
among them. psycopg 3 waits in Python itself, so Ctrl-C ends it, but without a limit.
"""

import selectors
from importlib.util import find_spec
from typing import Any

ANSWER_SECONDS = 20.0  # as MLflow's client waits for a server: environment.MLFLOW


def limit_waiting(url: str) -> None:
    """Have psycopg2 raise OperationalError where a server is silent for ANSWER_SECONDS. url: of the database.

    It holds for the whole process from then on. Other databases, and an environment without psycopg2, stay as they are.
    A function that somebody else has given psycopg2 stays, too.
    Source: psycopg2's documentation, "Support for coroutine libraries"; after such an error the connection is closed.
    """
    if not url.startswith("postgresql") or find_spec("psycopg2") is None:
        return
    from psycopg2 import extensions

    if extensions.get_wait_callback() is None:
        extensions.set_wait_callback(_wait)


def _wait(connection: Any) -> None:
    from psycopg2 import OperationalError, extensions

    events = {extensions.POLL_READ: selectors.EVENT_READ, extensions.POLL_WRITE: selectors.EVENT_WRITE}
    while (state := connection.poll()) != extensions.POLL_OK:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), events[state])
            if not selector.select(ANSWER_SECONDS):
                raise OperationalError(f"the database has not answered for {ANSWER_SECONDS:g} s")
