"""Errors that a user can put right."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input from the user.

    The message is one line that says what is wrong and what to do. The command line prints it on
    standard error and exits with code 2, without a traceback.
    """
