"""Adaptation methods, one published method per file, registered by name in `methods`."""

from dacbn.methods.adamatch import AdaMatch as AdaMatch
from dacbn.methods.adda import ADDA as ADDA
from dacbn.methods.afn import AFN as AFN
from dacbn.methods.bnm import BNM as BNM
from dacbn.methods.bsp import BSP as BSP
from dacbn.methods.cdan import CDAN as CDAN
from dacbn.methods.cmd import CMD as CMD
from dacbn.methods.combined import Combined as Combined
from dacbn.methods.cotta import CoTTA as CoTTA
from dacbn.methods.dan import DAN as DAN
from dacbn.methods.dann import DANN as DANN
from dacbn.methods.deep_coral import DeepCORAL as DeepCORAL
from dacbn.methods.eata import EATA as EATA
from dacbn.methods.fixmatch import FixMatch as FixMatch
from dacbn.methods.information_maximisation import (
    InformationMaximisation as InformationMaximisation,
)
from dacbn.methods.jan import JAN as JAN
from dacbn.methods.lame import LAME as LAME
from dacbn.methods.m3sda import M3SDA as M3SDA
from dacbn.methods.mcc import MCC as MCC
from dacbn.methods.mcd import MCD as MCD
from dacbn.methods.mdd import MDD as MDD
from dacbn.methods.method import Method as Method
from dacbn.methods.method import Objective as Objective
from dacbn.methods.method import Step as Step
from dacbn.methods.method import methods as methods
from dacbn.methods.minimum_entropy import MinimumEntropy as MinimumEntropy
from dacbn.methods.mme import MME as MME
from dacbn.methods.online import OnlineMethod as OnlineMethod
from dacbn.methods.online import test_time_methods as test_time_methods
from dacbn.methods.osbp import OSBP as OSBP
from dacbn.methods.pada import PADA as PADA
from dacbn.methods.roid import ROID as ROID
from dacbn.methods.rotta import RoTTA as RoTTA
from dacbn.methods.sar import SAR as SAR
from dacbn.methods.shot import SHOT as SHOT
from dacbn.methods.source_and_target import SourceAndTarget as SourceAndTarget
from dacbn.methods.source_free import SourceFreeMethod as SourceFreeMethod
from dacbn.methods.source_free import source_free_methods as source_free_methods
from dacbn.methods.source_only import SourceOnly as SourceOnly
from dacbn.methods.tent import Tent as Tent
from dacbn.methods.vada import VADA as VADA
