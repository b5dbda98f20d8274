"""Components as records, slots, and the catalogue."""

import pickle
import subprocess
import sys
from typing import Literal

import pytest
from pydantic import PositiveInt, ValidationError
from small import CATALOGUE, Classification, Dense, Gated, Mean, Text, TopK, Vit

from mmspec.spec import Catalogue, Component, Fusion, Router, describe
from mmspec.spec.component import is_concrete


def test_a_slot_takes_a_component_a_mapping_or_the_name_of_a_type() -> None:
    for value in (TopK(k=1), {"type": "top_k", "k": 1}):
        assert Gated.from_spec({"router": value}, CATALOGUE).router == TopK(k=1)
    assert Gated.from_spec({"router": "top_k"}, CATALOGUE).router == TopK()
    assert Classification.from_spec({"classes": 2, "pool": None}, CATALOGUE).pool is None
    assert Classification(classes=2).pool == Mean()


def test_python_writes_from_with_an_underscore_and_yaml_without() -> None:
    assert Gated(from_="a") == Gated.from_spec({"from": "a"}, CATALOGUE)
    with pytest.raises(ValidationError):
        Gated.from_spec({"from_": "a"}, CATALOGUE)
    assert Gated.keys() == ("from", "frozen", "tie", "average_of", "type", "depth", "router", "halting")


def test_a_component_does_not_change_and_knows_its_parts() -> None:
    gated = Gated(router=TopK())
    with pytest.raises(ValidationError, match="frozen"):
        gated.depth = 3  # type: ignore[misc]
    assert [key for key, _ in gated.children()] == ["router", "halting"]
    assert pickle.loads(pickle.dumps(gated)) == gated
    assert gated.model_dump(by_alias=True)["router"] == {"type": "top_k", "experts": 4, "k": 2, "balance": 0.01}


def test_without_a_catalogue_a_slot_takes_objects_only() -> None:
    with pytest.raises(ValidationError, match="must be given as an object"):
        Gated(router="top_k")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Gated(router=Mean())  # type: ignore[arg-type]


def test_a_role_is_not_a_component() -> None:
    assert not is_concrete(Fusion) and is_concrete(Gated)
    with pytest.raises(ValueError, match="is a role"):
        Catalogue([Fusion])


def test_a_catalogue_holds_a_type_once_per_role() -> None:
    class Other(Router):
        type: Literal["top_k"] = "top_k"

    with pytest.raises(ValueError, match="two components of role router have the type 'top_k'"):
        Catalogue([TopK, Other])
    assert Catalogue([TopK, TopK]).types("router") == ("top_k",)


def test_a_slot_of_a_narrower_role_takes_only_what_derives_from_it() -> None:
    class TokenRouter(Router):
        pass

    class Hash(TokenRouter):
        type: Literal["hash"] = "hash"

    class Holder(Fusion):
        type: Literal["holder"] = "holder"
        router: TokenRouter

    catalogue = Catalogue([Dense, Hash, Holder])
    assert Holder.from_spec({"router": "hash"}, catalogue).router == Hash()
    assert catalogue.types(TokenRouter) == ("hash",) and catalogue.types(Router) == ("dense", "hash")
    with pytest.raises(ValidationError, match="unknown type"):
        Holder.from_spec({"router": "dense"}, catalogue)


def test_a_catalogue_finds_what_bears_a_name() -> None:
    assert CATALOGUE.get("input", "text") is Text and CATALOGUE.get("router", "text") is None
    assert CATALOGUE.named("top_k") == (TopK,) and len(CATALOGUE) == len(list(CATALOGUE))
    assert "fusion" in CATALOGUE.roles


def test_components_that_hold_each_other_without_end() -> None:
    """Slots do not name their members, so that any number of types may hold each other."""
    classes: list[type[Component]] = []
    for i in range(60):
        namespace = {
            "__annotations__": {"type": Literal[f"t{i}"], "inner": Router | None},
            "type": f"t{i}",
            "inner": None,
        }  # type: ignore[valid-type]
        classes.append(type(f"T{i}", (Router,), {**namespace, "__module__": __name__}))
    catalogue = Catalogue(classes)
    value: object = "t0"
    for i in range(50):
        value = {"type": f"t{i}", "inner": value}
    assert Router.from_spec(value, catalogue).inner.inner.type == "t47"  # type: ignore[attr-defined]


def test_a_component_describes_itself() -> None:
    description = describe(Vit)
    fields = {field.key: field for field in description.fields}
    assert (description.type, description.role, description.summary) == (
        "vit",
        "encoder",
        "Patches, then a transformer.",
    )
    assert fields["patch_size"].required and fields["patch_size"].description == "pixels of a patch's side"
    assert (fields["width"].kind, fields["width"].bounds, fields["width"].default) == ("whole number", "above 0", 128)
    assert (fields["dropout"].kind, fields["dropout"].bounds) == ("number", "at least 0, below 1")
    assert fields["stages"].kind == "list of whole numbers" and fields["from"].kind == "text or list of texts or null"
    slot = next(field for field in describe(Gated).fields if field.key == "router")
    assert (slot.kind, slot.role, slot.default) == ("router", "router", {"type": "dense"})


def test_bounds_inside_a_union_are_told() -> None:
    class Odd(Router):
        """Odd."""

        type: Literal["odd"] = "odd"
        count: PositiveInt | None = None
        names: dict[str, int] = {}
        pair: tuple[int, float] = (1, 2.0)

    fields = {field.key: field for field in describe(Odd).fields}
    assert (fields["count"].kind, fields["count"].bounds) == ("whole number or null", "above 0")
    assert (
        fields["names"].kind == "mapping to whole number" and fields["pair"].kind == "list of 2: whole number, number"
    )


def test_names_of_torchs_modules_are_taken() -> None:
    from mmspec.spec.names import TAKEN

    ask = "import torch; print(*dir(torch.fx.symbolic_trace(torch.nn.Identity())))"
    said = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True).stdout
    public = {name for name in said.split() if not name.startswith("_")}  # of a torch that no other library has changed
    assert "forward" in public and public <= TAKEN, public - TAKEN
