"""Every number of a report has a sentence, and the definition of the glossary."""

from pathlib import Path

import pytest

from dacbn.analysis.presentation.html import write_report
from dacbn.analysis.presentation.section import Section
from dacbn.analysis.presentation.terms import TERMS

GLOSSARY = Path(__file__).parents[3] / "docs" / "pages" / "glossary.md"


@pytest.mark.parametrize("name", TERMS)
def test_definitions_are_those_of_the_glossary(name):
    assert TERMS[name].sentence.endswith(".")
    rows = [line for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if name in line]
    assert any(TERMS[name].definition in row for row in rows)


def test_a_number_leads_to_its_definition(tmp_path):
    sections = [Section("Clusters", terms=("overlap", "NMI"), folded=True), Section("Other")]
    write_report(tmp_path / "page.html", "a", sections, {}, [])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for name in ("overlap", "nmi"):
        assert f'href="#what-the-numbers-mean-{name}"' in page
        assert f'id="what-the-numbers-mean-{name}"' in page
    assert TERMS["overlap"].definition in page and TERMS["MMD²"].sentence not in page
    assert page.index("<details><summary><h2>Clusters") < page.index("<h2>Other")
