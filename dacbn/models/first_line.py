"""The first line of an error's message, for messages of one line."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if there is no message."""
    reason = getattr(error, "strerror", None) or str(error)  # strerror: without the errno and path
    return (str(reason).strip() or type(error).__name__).splitlines()[0]
