"""Parquet tables, as pyarrow and pandas write them: names are read, and never codes."""

import sys

import pytest
from PIL import Image

from dacbn.datasets import expand, load_labelled, match_classes
from dacbn.datasets.tables import read_table

NAMES = [f"{number}.png" for number in range(12)]


@pytest.fixture
def place(tmp_path):
    for value, name in enumerate(NAMES):
        Image.new("L", (4, 4), value).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def arrow():
    return pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dacbn[parquet]'")


def write(path, arrow, /, **columns):
    import pyarrow.parquet

    pyarrow.parquet.write_table(arrow.table(columns), path)
    return path


def test_codes_of_two_files_and_of_two_groups_of_rows_do_not_matter(place, arrow):
    """Of pyarrow 26 the codes of a dictionary follow the first rows, in each group of rows anew."""
    import pyarrow.parquet

    kind = arrow.dictionary(arrow.int8(), arrow.string())
    schema = arrow.schema([("path", arrow.string()), ("label", kind)])
    labels = {"a": ["cat", "ant", "bee"] * 2 + ["bee", "cat", "ant"] * 2}
    labels["b"] = labels["a"][::-1]
    domains = {}
    for name, each in labels.items():
        with pyarrow.parquet.ParquetWriter(place / f"{name}.parquet", schema) as writer:
            for half in (slice(6), slice(6, 12)):
                coded = arrow.array(each[half]).dictionary_encode().cast(kind)
                writer.write_table(arrow.table([NAMES[half], coded], schema=schema))
        stored = pyarrow.parquet.read_table(place / f"{name}.parquet")["label"]
        assert [chunk.indices.to_pylist()[0] for chunk in stored.chunks] == [0, 0]
        assert read_table(place / f"{name}.parquet").labels == each
        path = place / f"{name}.parquet"
        domains[name] = load_labelled(path, train=True, root=place, size=4)
    assert domains["a"].classes == domains["b"].classes == ("ant", "bee", "cat")
    assert match_classes(domains["b"], domains["a"].classes) is domains["b"]


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_text_may_be_stored_in_any_type(place, arrow, kind):
    types = {"dictionary": arrow.dictionary(arrow.int16(), arrow.large_string())}
    kind = types.get(kind) or getattr(arrow, kind)()
    labels = ["NA", "nan", "007"] * 4
    path = write(
        place / "t.parquet",
        arrow,
        path=arrow.array(NAMES, arrow.string()).cast(kind),
        label=arrow.array(labels, arrow.string()).cast(kind),
    )
    rows = read_table(path)
    assert rows.labels == labels and rows.files == [place / name for name in NAMES]


def test_whole_numbers_are_names_also_where_a_gap_made_them_floats(place, arrow):
    for numbers in ([1, 0] * 6, [1.0, 0.0] * 6):
        rows = read_table(write(place / "t.parquet", arrow, path=NAMES, label=numbers))
        assert rows.labels == ["1", "0"] * 6
    numbers = [1.0, None, float("nan")] * 4
    path = write(
        place / "t.parquet", arrow, path=NAMES, label=arrow.array(numbers, from_pandas=False)
    )
    with pytest.raises(ValueError, match="8 lines without a label"):
        read_table(path)
    path = write(place / "t.parquet", arrow, path=NAMES, label=arrow.nulls(12))
    assert read_table(path).labels is None


def test_other_columns_are_not_read(place, arrow):
    path = write(place / "t.parquet", arrow, path=NAMES, y=[0, 1] * 6, box=[[1, 2]] * 12)
    assert read_table(path).labels == ["0", "1"] * 6
    with pytest.raises(ValueError, match=r"column 'box' of .* holds values of type list: store"):
        read_table(path, ["label=box"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": NAMES, "label": [0.5] * 12}, "column 'label' of .* holds 0.5, which is no name"),
        ({"id": NAMES, "label": [1] * 12}, "no column of a path among id, label"),
        ({"file": NAMES, "path": NAMES}, r"several columns of a path, file, path: columns=\("),
        ({"path": [], "label": []}, "lists no images"),
        ({"path": [b"a"]}, "column 'path' of .* holds values of type bytes: store paths"),
    ],
)
def test_a_table_with_faults_is_refused_in_one_line(place, arrow, columns, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_table(write(place / "t.parquet", arrow, **columns))
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_named(place, arrow):
    for content in (b"", b"PAR1 no PAR1", b"path,label\n"):
        (place / "t.parquet").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"cannot read .*t\.parquet \(.*\): save it as"
        ) as caught:
            read_table(place / "t.parquet")
        assert "\n" not in str(caught.value)


def test_without_pyarrow_it_is_said_what_to_install(place, monkeypatch):
    (place / "t.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dacbn\[parquet\]', or save"):
        read_table(place / "t.parquet")


def test_tables_of_pandas_are_read(place):
    """Of pandas 3.1 an index without a name is a column in the file, with no name of a role."""
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'dacbn[parquet]'")
    labels, domains = ["null", "NA"] * 6, ["b"] * 6 + ["a"] * 6
    frame = pandas.DataFrame({"path": NAMES, "label": labels, "domain": domains})
    frames = [
        frame,
        frame.astype({"label": "category", "domain": "category", "path": "string"}),
        frame.set_index("path"),
        frame[frame.label != "x"].sample(frac=1, random_state=0),
    ]
    for table in frames:
        for path in (place / "t.parquet", place / "t.csv"):
            (table.to_parquet if path.suffix == ".parquet" else table.to_csv)(path)
            rows = read_table(path)
            found = dict(zip((file.name for file in rows.files), rows.labels, strict=True))
            assert found == dict(zip(NAMES, labels, strict=True))
            assert expand(path) == (f"{path}:a", f"{path}:b")
