"""What the tests of readers share."""

from __future__ import annotations

import re

import pytest


def raises(*words, error=ValueError):
    """pytest.raises with a message that has all these words, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(str(w)) for w in words))
