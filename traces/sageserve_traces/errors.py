"""The one exception class of the traces package."""


class TraceError(ValueError):
    """A trace, a trace file or a request for one that cannot be used.

    The message is one line that says what is wrong, where (file, row, column when known) and what
    to do about it. It is a ``ValueError`` so that the command line reports it without a traceback.
    """
