"""The target's accuracy, estimated without its labels. One estimator per file."""

from dacbn.estimates import atc, cot, doc, gde  # noqa: F401  # importing one registers it
from dacbn.estimates.accuracy import Estimate as Estimate
from dacbn.estimates.accuracy import describe as describe
from dacbn.estimates.accuracy import estimate as estimate
from dacbn.estimates.accuracy import in_short as in_short
from dacbn.estimates.accuracy import to_json as to_json
from dacbn.estimates.estimator import estimators as estimators
from dacbn.estimates.seen import see as see
