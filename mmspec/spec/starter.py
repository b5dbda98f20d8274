"""A first spec for `mmspec init`: small, commented, and with the line that gives an editor the schema."""

from __future__ import annotations

from mmspec.spec.diagnostics import Diagnostic, SpecError
from mmspec.spec.names import is_spec_name

SCHEMA_FILE = "mmspec.schema.json"  # `mmspec init` writes it beside the spec

_TEXT = """\
# yaml-language-server: $schema={schema}
#
#   mmspec validate {name}.yaml      is it valid, and does it fit together
#   mmspec profile {name}.yaml       what it costs
#   mmspec build {name}.yaml         a torch module, its source, its weights
#
# `mmspec list` names all components, `mmspec explain vit` says what one does and what may be written in it.
name: {name}

inputs:
  image: {{type: image, size: 32, channels: 3}}
  text: {{type: text, vocab_size: 257, length: 32}}     # 257: bytes, and one id for padding

encoders:                                              # an encoder reads the input of its own name
  image: {{type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}}
  text: {{type: text_transformer, width: 128, depth: 3, heads: 4}}

fusion:
  joint:
    type: gated
    from: [image, text]                                # the first one asks
    depth: 2                                           # to search over it: {{choice: [1, 2, 3], default: 2}}

heads:
  label: {{type: classification, classes: 12}}           # reads the last fusion

objectives:
  - {{type: cross_entropy, target: answer}}              # a column of the data
"""


def starter(name: str, schema: str = SCHEMA_FILE) -> str:
    """The text of a first spec.

    Raises   SpecError: a name that no spec can have.
    """
    if not is_spec_name(name):
        note = "letters, digits, '_', '-' and '.'; it becomes the name of a file and a folder"
        raise SpecError([Diagnostic(f"a spec cannot be called {name!r}", None, (note,))])
    return _TEXT.format(name=name, schema=schema)
