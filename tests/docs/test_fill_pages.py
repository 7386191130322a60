"""Marks in pages become tables of what is registered."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def fill_pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fill_pages", DOCS / "fill_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_name_everything_registered(fill_pages: ModuleType) -> None:
    text = "".join(
        fill_pages.on_page_markdown(page.read_text())
        for page in (DOCS / "pages").glob("*.md")
        if page.stem != "command-line"
    )
    for registry in fill_pages.REGISTRIES.values():
        assert [name for name in registry if f"| `{name}` |" not in text] == []
    assert "{{" not in text


def test_a_new_entry_appears_without_an_edit(
    fill_pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = fill_pages.REGISTRIES["norms"]
    monkeypatch.setattr(norms, "_entries", {**norms._known(), "new_norm": norms["group_norm"]})
    assert "new_norm" in fill_pages.others("norms")
    assert "| `new_norm` |" in fill_pages.on_page_markdown("{{ table norms }}")


def test_help_is_what_the_command_prints(fill_pages: ModuleType) -> None:
    printed = fill_pages.on_page_markdown("{{ help predict }}")
    assert printed.startswith("```text\nusage: dacbn predict")
    assert "--on-unreadable" in printed and "\x1b" not in printed
    assert "--protocols" in fill_pages.on_page_markdown("{{ help benchmark: streams }}")


@pytest.mark.parametrize("mark", ["{{ table planets }}", "{{ chart norms }}"])
def test_a_mark_that_means_nothing_is_refused(fill_pages: ModuleType, mark: str) -> None:
    with pytest.raises(ValueError, match=re.escape(mark)):
        fill_pages.on_page_markdown(mark)


@pytest.mark.parametrize(
    ("paper", "link"),
    [
        ('Wu and He, "Group", ECCV 2018, https://a.org/1.', "[Wu and He 2018](https://a.org/1)"),
        ('Ba et al., "Layer", 2016, https://a.org/2', "[Ba et al. 2016](https://a.org/2)"),
        ('also called X by Li, Wu and He, "X", 2020, https://a.org', "[Li et al. 2020]"),
        ("as in the textbooks", ""),
    ],
)
def test_a_citation_is_short(fill_pages: ModuleType, paper: str, link: str) -> None:
    assert fill_pages.citation(paper).startswith(link)
    assert bool(fill_pages.citation(paper)) == bool(link)
