"""Names and ids of the domains of a training."""

import pytest

from dacbn.training import (
    TrainConfig,
    find_domain,
    name_domains,
    num_domains,
    num_sources,
    place_ids,
)


def config(source, target, **options):
    return TrainConfig(source=source, target=target, **options)


@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        ("mnist", "usps", ("mnist", "usps")),
        (("data/a/train", "data/b/train"), "photos/c", ("a/train", "b/train", "c")),
        (("x/a", "y/a"), "a", ("x/a", "y/a", "a")),
        ("in memory", "in memory", ("source", "target")),
        (
            ("in memory", "usps", "in memory"),
            "in memory",
            ("source 1", "usps", "source 3", "target"),
        ),
        (("a", "b"), "a", ("a (source)", "b", "a (target)")),
        (("a", "a/"), "b", ("a (source 1)", "a (source 2)", "b")),
    ],
)
def test_a_name_is_the_end_of_a_path_that_tells_it_from_the_others(source, target, names):
    assert name_domains(config(source, target)) == names


def test_ids_are_counted_from_the_sources_on():
    three = config(("mnist", "usps", "svhn"), ("mnist_m", "color_digits"))
    assert (num_sources(three), num_domains(three)) == (3, 5)
    assert find_domain(three, "usps") == (1,) and find_domain(three, "color_digits") == (4,)
    assert find_domain(three, 2) == (2,) and find_domain(three, "average") == (0, 1, 2)
    with pytest.raises(ValueError, match="several targets: name one, mnist_m or color_digits"):
        find_domain(three, None)
    with pytest.raises(ValueError, match="no domain 'photos': choose one of mnist, usps"):
        find_domain(three, "photos")


def test_the_only_target_is_meant_if_no_domain_is_named():
    assert find_domain(config("mnist", "usps"), None) == (1,)
    assert find_domain(config(("mnist", "svhn"), "usps"), None) == (2,)
    merged = config(("mnist", "svhn"), "usps", merge_sources=True)
    assert find_domain(merged, None) == (1,) and num_domains(merged) == 2
    assert name_domains(merged) == ("mnist + svhn", "usps")
    mixed = config("mnist", ("usps", "svhn"), merge_targets=True)
    assert find_domain(mixed, None) == (1,) and place_ids(mixed) == (0, 1, 1)
    assert name_domains(mixed) == ("mnist", "usps + svhn") and num_domains(mixed) == 2
