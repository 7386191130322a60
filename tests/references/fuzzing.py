"""What the fuzz tests share: how many examples, strange values, and what a good refusal is.

A run has about `EXAMPLES` in all, the same ones each time; a campaign, with DACBN_FUZZ_EXAMPLES
set, draws new ones.
"""

import os
import signal
from contextlib import contextmanager

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

CAMPAIGN = "DACBN_FUZZ_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("DACBN_FUZZ_EXAMPLES", 2000))
SECONDS = 120  # after which an example counts as hanging
LONGEST = 1500  # characters of a message; some list all names that are known


def examples(share):
    """Give a test its share of all examples."""
    return settings(
        max_examples=max(1, round(share * EXAMPLES)),
        derandomize=not CAMPAIGN,
        database=None,
        deadline=None,  # a busy machine is slow; what hangs is stopped by `refusal`
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@contextmanager
def refusal(*kinds):
    """Yield a list that will hold the message if the body raises one of these errors.

    Errors of other types, messages that are no short line, and bodies that hang fail the test.
    """
    said = []
    previous = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(SECONDS)
    try:
        yield said
    except kinds as error:
        said.append(str(error))
        assert 0 < len(said[0]) <= LONGEST and len(said[0].splitlines()) == 1, said
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _hang(*_):
    raise AssertionError(f"hangs for {SECONDS} seconds")


NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 64, 65536, 65537, 2**63, -(2**63), 10**30, 10**400]),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.5, 1e-5, 1e-38, 1e-300, 1e39, 1e308, -1e-9]),
    st.integers(-5, 70),
    st.integers(),
    st.floats(),
    st.floats(-1, 2),
)
WORDS = st.one_of(
    st.sampled_from(
        ["", "em", "sample", "inf", "nan", "no", "True", "1", "dann", "ucb_norm(", "a b"]
    ),
    st.text(max_size=8),
)
LEAVES = st.one_of(NUMBERS, WORDS, st.booleans(), st.none())
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=6,
)
STRANGE = st.one_of(
    ANYTHING,
    st.binary(max_size=3),
    st.complex_numbers(),
    st.sampled_from([np.int64(3), np.float32(0.5), np.bool_(True), np.ones(2), object, ..., {1}]),
)


def is_number(value):
    """Whether a value is a finite number that float32 can hold, and no truth value."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        return False
    if isinstance(value, (complex, np.complexfloating)) or value != value:
        return False
    return value == 0 or 1e-37 <= abs(value) <= 1e38


def is_whole(value):
    """Whether a value is a whole number of at most 64 bits, and no truth value."""
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and -(2**63) <= value < 2**63
