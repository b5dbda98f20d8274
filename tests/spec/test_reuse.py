"""`extends`, `definitions`, `variants`, `--set`: one spec from several places, each value with its origin."""

from pathlib import Path

import pytest
from small import CATALOGUE, FLAGSHIP, Concat, Confidence, Dense, TopK, Vit

from mmspec.spec import SpecError, load, read


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(FLAGSHIP)
    return tmp_path


def extended(folder: Path, text: str, name: str = "child.yaml", **options: object) -> object:
    (folder / name).write_text(text)
    return load(folder / name, CATALOGUE, **options)  # type: ignore[arg-type]


def test_maps_merge_lists_replace_null_deletes_and_another_type_replaces(base: Path) -> None:
    spec = extended(
        base,
        "extends: base.yaml\n"
        "encoders: {image: {width: 64, heads: null}}\n"
        "fusion: {joint: {from: [text, image], router: {type: dense}, halting: {threshold: 0.5}}}\n",
    )
    assert spec.encoders["image"].width == 64 and spec.encoders["image"].depth == 4  # type: ignore[attr-defined]
    assert spec.fusion["joint"].from_ == ("text", "image")  # type: ignore[attr-defined]
    assert spec.fusion["joint"].router == Dense()  # type: ignore[attr-defined]
    assert spec.fusion["joint"].halting == Confidence(threshold=0.5, head="label")  # type: ignore[attr-defined]
    assert spec.name == "child", "a name is not inherited"  # type: ignore[attr-defined]
    assert spec.origin("encoders.image.heads") == "default"  # type: ignore[attr-defined]
    assert spec.origin("encoders.image.width") == f"{base}/child.yaml:2:27"  # type: ignore[attr-defined]
    assert spec.origin("encoders.image.depth") == f"{base}/base.yaml:6:56"  # type: ignore[attr-defined]


def test_a_deleted_node_is_gone_and_a_new_one_is_there(base: Path) -> None:
    spec = extended(
        base,
        "extends: base.yaml\n"
        "inputs: {text: null}\n"
        "encoders: {text: null}\n"
        "fusion: {joint: {type: concat}}\n"
        "heads: {animal: {type: classification, classes: 2}}\n",
    )
    assert list(spec.inputs) == ["image"] and list(spec.heads) == ["label", "animal"]  # type: ignore[attr-defined]
    assert spec.fusion["joint"] == Concat(from_="image")  # type: ignore[attr-defined]


def test_files_extend_in_a_row_from_folders_of_their_own(base: Path) -> None:
    (base / "sub").mkdir()
    (base / "sub" / "middle.yaml").write_text("extends: ../base.yaml\nfusion: {joint: {depth: 3}}\n")
    spec = extended(base, "extends: sub/middle.yaml\n")
    assert spec.fusion["joint"].depth == 3 and spec.heads["label"].classes == 12  # type: ignore[attr-defined]


def test_a_packaged_spec_is_extended_by_its_name(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = base / "packaged"
    home.mkdir()
    (base / "base.yaml").rename(home / "base.yaml")
    monkeypatch.setattr("mmspec.shipped.folder", lambda kind: home)
    for name in ("base", "base.yaml"):
        assert extended(base, f"extends: {name}\nname: mine\n").fusion["joint"].depth == 2  # type: ignore[attr-defined]
    assert load("base", CATALOGUE).name == "fusion_gated"
    with pytest.raises(SpecError, match="neither a file nor packaged, did you mean 'base'"):
        load("bases", CATALOGUE)


def test_a_mistake_in_the_other_file_points_into_it(base: Path) -> None:
    (base / "base.yaml").write_text(FLAGSHIP.replace("depth: 2", "dept: 2"))
    with pytest.raises(SpecError) as caught:
        extended(base, "extends: base.yaml\nencoders: {image: {width: 0}}\n")
    assert [str(found.position) for found in caught.value.diagnostics] == [
        f"{base}/base.yaml:12:5",
        f"{base}/child.yaml:2:27",
    ]


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("extends: bas.yaml\n", "there is no spec 'bas.yaml' to extend, did you mean 'base.yaml'?", (1, 10)),
        ("extends: [base.yaml]\n", "expected a file or the name of a packaged spec", (1, 10)),
        ("extends: child.yaml\n", "a cycle of extends: child.yaml -> child.yaml", (1, 10)),
    ],
)
def test_what_cannot_be_extended(base: Path, text: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(SpecError) as caught:
        extended(base, text)
    (found,) = caught.value.diagnostics
    assert (
        found.message == message
        and found.position is not None
        and (found.position.line, found.position.column) == place
    )


def test_files_that_extend_each_other_are_a_cycle(base: Path) -> None:
    (base / "a.yaml").write_text("extends: b.yaml\n")
    with pytest.raises(SpecError, match=r"a cycle of extends: b.yaml -> a.yaml -> b.yaml"):
        extended(base, "extends: a.yaml\n", "b.yaml")


DEFINED = """\
definitions:
  width: 64
  small: {type: vit, patch_size: 8, width: {use: width}, depth: 2, heads: 2}
  deep: {use: small, depth: 12}
inputs:
  image: {type: image}
encoders:
  image: {use: deep, heads: 4}
heads:
  label: {type: classification, classes: 12}
"""


def test_a_definition_is_used_and_the_keys_beside_it_override() -> None:
    spec = read(DEFINED, CATALOGUE, "a.yaml")
    assert spec.encoders["image"] == Vit(from_="inputs.image", patch_size=8, width=64, depth=12, heads=4)
    assert spec.origin("encoders.image.width") == "a.yaml:2:10"
    assert spec.origin("encoders.image.depth") == "a.yaml:4:29"


def test_fields_alone_are_used_by_components_of_any_type() -> None:
    text = DEFINED.replace("small: {type: vit, patch_size", "small: {patch_size").replace(
        "{use: deep,", "{use: deep, type: vit,"
    )
    assert read(text, CATALOGUE).encoders["image"] == read(DEFINED, CATALOGUE).encoders["image"]


def test_definitions_that_double_each_other_end_at_the_limit() -> None:
    bomb = "definitions:\n  a0: [x, x]\n" + "".join(
        f"  a{i}: [{{use: a{i - 1}}}, {{use: a{i - 1}}}]\n" for i in range(1, 60)
    )
    with pytest.raises(SpecError, match="definitions that use each other grow to more than 100,000 values"):
        read(bomb + "inputs: {use: a59}\n", CATALOGUE)
    deep = "definitions:\n  a0: {x: 1}\n" + "".join(f"  a{i}: {{x: {{use: a{i - 1}}}}}\n" for i in range(1, 200))
    with pytest.raises(SpecError, match="grow to more than 64 levels"):
        read(deep + "inputs: {use: a199}\n", CATALOGUE)


VARIANTS = (
    FLAGSHIP
    + "variants:\n  small: {encoders.image.width: 64, fusion.joint.router: {use: few}}\ndefinitions: {few: {type: top_k, experts: 2}}\n"
)


def test_a_variant_changes_by_path_and_says_so() -> None:
    spec = read(VARIANTS, CATALOGUE, "a.yaml", variant="small")
    assert spec.encoders["image"].width == 64 and spec.fusion["joint"].router == TopK(experts=2, balance=0.01)  # type: ignore[attr-defined]
    assert (
        spec.origin("encoders.image.width") == "variant small"
        and str(spec.at("encoders.image.width")) == "a.yaml:20:33"
    )
    assert read(VARIANTS, CATALOGUE).encoders["image"].width == 128  # type: ignore[attr-defined]
    with pytest.raises(SpecError, match="there is no variant 'smal', did you mean 'small'"):
        read(VARIANTS, CATALOGUE, variant="smal")


def test_overrides_come_after_the_variant_and_are_read_like_yaml() -> None:
    spec = read(
        VARIANTS, CATALOGUE, "a.yaml", variant="small",
        overrides=["encoders.image.width=256", "encoders.image.dropout=1e-3", "fusion.joint.router={type: top_k, experts: 8}",
                   "fusion.joint.from=[text, image]", "objectives.0.target=no", "name=other"],
    )  # fmt: skip
    vit, joint = spec.encoders["image"], spec.fusion["joint"]
    assert vit.width == 256 and vit.dropout == 1e-3 and joint.router.experts == 8 and joint.from_ == ("text", "image")  # type: ignore[attr-defined]
    assert spec.objectives[0].target == "no" and spec.name == "other"  # type: ignore[attr-defined]
    assert spec.origin("encoders.image.width") == "--set"


def test_an_override_reaches_what_is_not_written_and_what_is_written_in_short() -> None:
    text = FLAGSHIP.replace("router:  {type: top_k, experts: 4, k: 2, balance: 0.01}", "router: top_k").replace(
        ", head: label", "", 1
    )
    spec = read(
        text,
        CATALOGUE,
        overrides=["fusion.joint.router.k=1", "heads.label.pool.type=mean", "encoders.image.frozen=true"],
    )
    assert spec.fusion["joint"].router == TopK(k=1) and spec.encoders["image"].frozen  # type: ignore[attr-defined]
    assert (
        read(FLAGSHIP, CATALOGUE, overrides=["encoders.image.width=null"]).origin("encoders.image.width") == "default"
    )


def test_an_override_closes_a_domain_or_goes_through_its_alternative() -> None:
    text = FLAGSHIP.replace("depth: 2\n", "depth: {choice: [1, 2]}\n").replace(
        "router:  {type: top_k, experts: 4, k: 2, balance: 0.01}",
        "router: {choice: [dense, {type: top_k, k: 2, experts: 4}], default: top_k}",
    )
    spec = read(text, CATALOGUE, overrides=["fusion.joint.depth=2", "fusion.joint.router.k=1"])
    assert list(spec.domains) == ["fusion.joint.router"] and spec.fusion["joint"].router == TopK(k=1)  # type: ignore[attr-defined]
    assert read(text, CATALOGUE, overrides=["fusion.joint.router=top_k"]).fusion["joint"].router == TopK(k=2)  # type: ignore[attr-defined]
    assert read(text, CATALOGUE, overrides=["fusion.joint.router[top_k].experts=6"]).fusion["joint"].router.experts == 6  # type: ignore[attr-defined]
    assert read(text, CATALOGUE, overrides=["fusion.joint.depth=9"]).fusion["joint"].depth == 9, "beyond the domain"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("override", "message", "column"),
    [
        ("fusion.joint.depht=4", "'fusion.joint' has no 'depht', did you mean 'depth'?", 1),
        ("fusoin.joint.depth=4", "there is no section 'fusoin', did you mean 'fusion'?", 1),
        ("fusion.joit.depth=4", "'fusion' has no 'joit', did you mean 'joint'?", 1),
        ("objectives.1.target=x", "'objectives' has no item '1'", 1),
        ("fusion.joint.depth.x=4", "there is nothing inside 'fusion.joint.depth'", 1),
        ("fusion.joint.router[dense].x=4", "'fusion.joint.router' has no alternatives", 1),
        ("fusion..depth=4", "'fusion..depth' is not a path", 1),
        ("fusion.joint.depth", "expected PATH=VALUE", 1),
        ("fusion.joint.depth=", "no value for fusion.joint.depth", 1),
        ("fusion.joint.depth=four", "expected a whole number for 'depth' of gated, found the text 'four'", 20),
        ("fusion.joint.depth=[1", "cannot read this as YAML: expected ',' or ']'", 22),
        (
            "fusion.joint.depth=!!int 3",
            "tags are not read (this is 'tag:yaml.org,2002:int'): a spec never constructs objects",
            20,
        ),
        ("fusion.joint.depth={choice: []}", "a domain needs at least one choice, found an empty list", 29),
        ("fusion.joint.from=[image, txet]", "there is no node or input 'txet', did you mean 'text'?", 27),
    ],
)
def test_a_mistake_in_an_override_is_located_in_it(override: str, message: str, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        read(FLAGSHIP, CATALOGUE, "a.yaml", [override])
    found = caught.value.diagnostics[0]
    assert found.message == message and found.position is not None
    assert (found.position.source.name, found.position.line, found.position.column) == ("--set", 1, column)
