"""Loading sets: what ships, what a user brings, and what is refused."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guidelines import BadInput, load_guidelines
from guidelines.files import MAX_FILE_BYTES, decode, digest
from guidelines.markdown import split_front_matter, split_sections
from guidelines.released import ROOT

GUIDELINE = "---\nid: care\ntitle: Take care\nversion: 1\n---\nThink before you answer.\n"
EXEMPLAR = """---
id: tea
label: benign
---
## Prompt

Tea?

## Thought

Fine.

## Answer

Yes.
"""


def brief(value: str | bytes) -> str:
    """Name a test case without putting the whole hostile value into its name."""
    return ascii(value)[-40:]


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(source: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        load_guidelines(str(source))
    assert str(caught.value).isprintable()
    return caught.value


def test_a_file_is_a_set_of_one(tmp_path: Path) -> None:
    loaded = load_guidelines(str(write(tmp_path, "mine.md", GUIDELINE)))
    assert (loaded.name, loaded.version, loaded.exemplars) == ("mine", 1, ())
    (only,) = loaded.guidelines
    assert (only.id, only.title) == ("care", "Take care")
    assert only.text == "Think before you answer."


def test_a_folder_keeps_file_order_and_section_order(tmp_path: Path) -> None:
    folder = tmp_path / "house"
    write(
        folder, "2.md", GUIDELINE.replace("care", "second", 1).replace("version: 1", "version: 4")
    )
    write(folder, "1.md", GUIDELINE.replace("care", "first", 1))
    write(folder, "exemplars/1.md", EXEMPLAR)
    write(folder, ".2.md.swp.md", "left by an editor")
    loaded = load_guidelines(f"{folder}/")
    assert (loaded.name, loaded.version) == ("house", 4)
    assert [guideline.id for guideline in loaded.guidelines] == ["first", "second"]
    (exemplar,) = loaded.exemplars
    assert (exemplar.id, exemplar.label, exemplar.prompt) == ("tea", "benign", "Tea?")
    assert exemplar.sections == (("Thought", "Fine."), ("Answer", "Yes."))


def test_the_highest_version_of_an_id_counts_in_the_place_of_the_first(tmp_path: Path) -> None:
    write(tmp_path, "1.md", GUIDELINE)
    write(tmp_path, "2.md", GUIDELINE.replace("care", "other", 1))
    write(tmp_path, "3.md", GUIDELINE.replace("version: 1", "version: 2").replace("Think", "Stop"))
    loaded = load_guidelines(str(tmp_path))
    assert [(g.id, g.version) for g in loaded.guidelines] == [("care", 2), ("other", 1)]
    assert loaded.guidelines[0].text.startswith("Stop")


def test_windows_text_reads_like_any_other(tmp_path: Path) -> None:
    plain = load_guidelines(str(write(tmp_path, "a.md", GUIDELINE)))
    windows = b"\xef\xbb\xbf" + GUIDELINE.replace("\n", "\r\n").encode()
    assert load_guidelines(str(write(tmp_path, "b.md", windows))).guidelines == plain.guidelines


@pytest.mark.parametrize(
    "source", ["", "nothing-here", "a\0b", "x" * 5_000, "../\x1b[2J"], ids=brief
)
def test_an_unknown_source_lists_what_ships(source: str) -> None:
    with pytest.raises(BadInput, match="srg"):
        load_guidelines(source)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "front matter"),
        ("Just text.\n", "front matter"),
        ("---\nid: care\ntitle: t\nversion: 1\nNo end.\n", "front matter"),
        ("---\n---\nText.\n", "front matter"),
        ("---\n- id\n- title\n---\nText.\n", "front matter"),
        ("---\nid: {a: b}\ntitle: t\nversion: 1\n---\nText.\n", "front matter"),
        ("---\nid: !!python/object/apply:os.getcwd []\n---\nText.\n", "front matter"),
        ("---\nid: !!bool x\ntitle: t\nversion: 1\n---\nText.\n", "front matter"),
        ("---\nid: [\n---\nText.\n", "front matter"),
        ('---\nid: "a\n---\nText.\n', "line 3"),
        ("---\nid: care\ntitle: 2024-13-45\nversion: 1\n---\nText.\n", "front matter"),
        (GUIDELINE.replace("version: 1", "version: 1\nauthor: me"), "author"),
        (GUIDELINE.replace("version: 1", "version: 1\nversion: 2"), "version"),
        (GUIDELINE.replace("version: 1\n", ""), "version"),
        (GUIDELINE.replace("version: 1", "version: 0"), "version"),
        (GUIDELINE.replace("version: 1", "version: true"), "version"),
        (GUIDELINE.replace("version: 1", "version: '1'"), "version"),
        (GUIDELINE.replace("version: 1", "version: 0x" + "f" * 5_000), "version"),
        (GUIDELINE.replace("version: 1", "version: 1" + ":1" * 300 + ".5"), "front matter"),
        (GUIDELINE.replace("version: 1", "version: 1" + ":1" * 1_000), "version"),
        (GUIDELINE.replace("Take care", "x" * 2_000), "title"),
        (GUIDELINE.replace("id: care", "id: 7"), "id"),
        (GUIDELINE.replace("id: care", "id: ../care"), "id"),
        (GUIDELINE.replace("Take care", "''"), "title"),
        (GUIDELINE.replace("Take care", "About {topic}"), "title"),
        (GUIDELINE.replace("Think before you answer.", " \n\t\n"), "text"),
        (GUIDELINE.replace("Think", "Think about {question}"), "text"),
        (GUIDELINE.replace("Think", "Think\x1b[31m"), "line 6"),
        (GUIDELINE.replace("Think", "Think\u202e"), "line 6"),
        (GUIDELINE.replace("Think", "Think\U000e0041"), "line 6"),
        (GUIDELINE.encode() + b"\xff\xfe", "line 7"),
        (GUIDELINE.encode("utf-16"), "line 1"),
        (GUIDELINE + "x" * MAX_FILE_BYTES, "size"),
    ],
    ids=brief,
)
def test_a_broken_guideline_names_its_field(tmp_path: Path, text: str | bytes, field: str) -> None:
    error = refused(write(tmp_path, "bad.md", text))
    assert error.field == field
    assert error.file.endswith("bad.md")


def test_an_alias_bomb_is_refused_before_it_is_built(tmp_path: Path) -> None:
    layers = "".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 9)}]\n" for i in range(1, 30))
    error = refused(write(tmp_path, "bomb.md", f"---\nk0: &k0 lol\n{layers}---\nText.\n"))
    assert "aliases" in error.rule
    alias = "---\nid: &a care\ntitle: *a\nversion: 1\n---\nText.\n"
    assert "aliases" in refused(write(tmp_path, "alias.md", alias)).rule


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (EXEMPLAR.replace("benign", "good"), "label"),
        (EXEMPLAR.replace("label: benign\n", ""), "label"),
        (EXEMPLAR.replace("id: tea", "id: tea\nversion: 1"), "version"),
        (EXEMPLAR.replace("## Prompt\n", ""), "text"),
        (EXEMPLAR.replace("## Prompt", "## Question"), "## Question"),
        (EXEMPLAR.replace("Fine.", ""), "## Thought"),
        (EXEMPLAR.replace("## Thought", "## Answer"), "Answer"),
        (EXEMPLAR.split("## Thought")[0], "sections"),
    ],
)
def test_a_broken_exemplar_names_its_field(tmp_path: Path, text: str, field: str) -> None:
    write(tmp_path, "1.md", GUIDELINE)
    write(tmp_path, "exemplars/1.md", text)
    assert refused(tmp_path).field == field


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "1.md", GUIDELINE)
    write(tmp_path, "2.md", GUIDELINE)
    assert refused(tmp_path).value == "care"
    (tmp_path / "2.md").unlink()
    write(tmp_path, "exemplars/1.md", EXEMPLAR)
    write(tmp_path, "exemplars/2.md", EXEMPLAR)
    assert refused(tmp_path).value == "tea"


def test_a_folder_without_readable_guidelines_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path).field == "guidelines"
    os.mkfifo(tmp_path / "pipe.md")
    assert refused(tmp_path).field == "file"


def test_the_digest_does_not_depend_on_the_place(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "far" / "there"
    shutil.copytree(ROOT / "srg", here)
    shutil.copytree(ROOT / "srg", there)
    first, second = load_guidelines(str(here)), load_guidelines(str(there))
    assert first.digest == second.digest == load_guidelines("srg").digest
    assert first.guidelines == second.guidelines
    (there / "07-helping.md").rename(there / "08-helping.md")
    assert load_guidelines(str(there)).digest != first.digest


@settings(deadline=None)
@given(
    files=st.dictionaries(st.text(min_size=1), st.binary(min_size=1), min_size=1), data=st.data()
)
def test_the_digest_hears_every_byte_and_no_order(
    files: dict[str, bytes], data: st.DataObject
) -> None:
    assert digest(dict(reversed(files.items()))) == digest(files)
    name = data.draw(st.sampled_from(sorted(files)))
    place = data.draw(st.integers(0, len(files[name]) - 1))
    changed = bytearray(files[name])
    changed[place] ^= data.draw(st.integers(1, 255))
    assert digest({**files, name: bytes(changed)}) != digest(files)
    assert digest({**files, name: files[name][:-1]}) != digest(files)
    assert digest({**files, name + "x": b""}) != digest(files)


YAML_LIKE = st.text(
    alphabet="ab1_:-+.0xeE~!&*[]{}'\"<=?%@|>#\\,/ \t\n\r\ufeff\ud800\x1b", max_size=60
)
FRONT_MATTER = YAML_LIKE | st.builds("a: {}\nb: {}".format, YAML_LIKE, YAML_LIKE)


@settings(max_examples=500, deadline=None)
@given(front=FRONT_MATTER, body=YAML_LIKE)
def test_whatever_a_file_holds_it_loads_or_is_bad_input(front: str, body: str) -> None:
    raw = f"---\n{front}\n---\n{body}\n".encode(errors="surrogatepass")
    with suppress(BadInput):
        fields, text = split_front_matter("f.md", decode("f.md", raw), keys=("a", "b"))
        assert set(fields) == {"a", "b"}
        assert all(split_sections("f.md", text))
