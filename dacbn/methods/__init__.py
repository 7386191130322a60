"""Adaptation methods, one published method a file, found by name in `methods`."""

from dacbn.methods.combined import create_method as create_method
from dacbn.methods.dann import DANN as DANN
from dacbn.methods.method import Method as Method
from dacbn.methods.method import Step as Step
from dacbn.methods.method import methods as methods
from dacbn.methods.source_only import SourceOnly as SourceOnly
