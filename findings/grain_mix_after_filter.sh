#!/usr/bin/env bash
# A mixture of grain gives a domain whose images were filtered a smaller share than it was asked for.
#
# MapDataset.mix([source, target], weights=[0.5, 0.5]) is for batches that are half source and half target.
# Where the source is filtered before, to the classes that the target has for example, the mixture
# counts images that the filter has taken out: they have their turns, and are left out on the way. Of a
# source that keeps a third of its images the share is a quarter in place of a half, and changes
# with whatever the filter finds. Nothing is said, and the mixture has the length that it had without
# the filter. Expected: the shares that were asked for, as IterDataset.mix of
# source.to_iter_dataset() and target.to_iter_dataset() gives them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "grain==0.2.18" "numpy==2.4.6"
"$work/venv/bin/python" -W ignore - 2> "$work/warnings" <<'PYTHON' || { cat "$work/warnings"; exit 1; }
from importlib.metadata import version
from itertools import islice

import grain

print(f"grain {version('grain')}")
source = grain.MapDataset.source([("source", number % 12) for number in range(1200)]).shuffle(seed=0)
target = grain.MapDataset.source([("target", number % 4) for number in range(1200)]).shuffle(seed=1)
filtered = source.filter(lambda image: image[1] < 4)


def share(name, mixture):
    domains = [domain for domain, _ in islice(mixture, 400)]
    found = domains.count("source") / len(domains)
    print(f"{name}: {found:.0%} of the first {len(domains)} images are from the source")
    return found


def stream(data):
    return data.repeat().to_iter_dataset()


half = [0.5, 0.5]
all_classes = grain.MapDataset.mix([source.repeat(), target.repeat()], weights=half)
four = grain.MapDataset.mix([filtered.repeat(), target.repeat()], weights=half)
streams = grain.IterDataset.mix([stream(filtered), stream(target)], weights=half)
whole = share("half of each, all 12 classes", all_classes)
kept = share("half of each, the target's 4 classes", four)
cured = share("the same by IterDataset.mix", streams)
assert whole == cured == 0.5 and 0.2 < kept < 0.3, "this has changed"
PYTHON
