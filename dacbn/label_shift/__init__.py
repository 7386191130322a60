"""Label shift: the target's classes have other shares than the source's. One estimator per file."""

from dacbn.label_shift import bbse, em  # noqa: F401  # importing an estimator registers it
from dacbn.label_shift.correction import Corrected as Corrected
from dacbn.label_shift.correction import check_estimator as check_estimator
from dacbn.label_shift.correction import correct as correct
from dacbn.label_shift.correction import describe as describe
from dacbn.label_shift.estimator import Calibrated as Calibrated
from dacbn.label_shift.estimator import HeldOut as HeldOut
from dacbn.label_shift.estimator import Shift as Shift
from dacbn.label_shift.estimator import estimators as estimators
