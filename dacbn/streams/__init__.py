"""Images that arrive in an order, without end, and a network that answers and follows them."""

from dacbn.streams.arrivals import Arrived as Arrived
from dacbn.streams.arrivals import Arriving as Arriving
from dacbn.streams.arrivals import arrive as arrive
from dacbn.streams.build import build_method as build_method
from dacbn.streams.recorder import LayerPath as LayerPath
from dacbn.streams.recorder import StreamPath as StreamPath
from dacbn.streams.recorder import StreamRecorder as StreamRecorder
from dacbn.streams.stream import Stream as Stream
from dacbn.streams.stream import StreamedAnswers as StreamedAnswers
from dacbn.streams.unadapted import Unadapted as Unadapted
