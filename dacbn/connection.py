"""Try once, and shortly, to connect: libraries repeat for most of a minute what cannot succeed."""

import socket
from queue import Empty, Queue
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

PATIENCE = 1.0  # seconds for one attempt


def try_to_connect(address: str) -> str | None:
    """Return why an address, or the proxy to it, cannot be reached; None if it can."""
    target = urlsplit(address)
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = target.port or (443 if target.scheme == "https" else 80)
    answers: Queue[str | None] = Queue()

    def connect() -> None:
        try:
            socket.create_connection((target.hostname or "", port), PATIENCE).close()
            answers.put(None)
        except OSError as error:
            answers.put(f"{target.hostname}: {error.strerror or error}")

    # in a thread of its own, since a look-up of the name has no time limit
    Thread(target=connect, daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE + 0.2)
    except Empty:
        return f"{target.hostname} does not answer"
