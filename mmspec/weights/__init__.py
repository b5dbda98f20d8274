"""Published checkpoints into our names, as data.

    mmspec.load_weights(model, "vit.safetensors", layout="transformers")

A layout file, `transformers/<family>.yaml`, leads the names of one family's tensors (the keys of `state_dict()` in transformers
5) to ours. Ours begin with a word of the layout's own, which stands for a node of the spec:

    source: transformers 5, models/vit/modeling_vit.py      # whose names these are
    nodes:                                                  # a word means the only node of that section and type (that reads this)
      image: {section: encoders, type: vit}                 # type, reads: one, or a list of which any will do
      label: {section: heads, type: classification, reads: [image.class, image]}
    prefix: [vit., deit.]                                   # what may stand in front of their names, and is taken off
    older: {encoder.layer.: layers.}                        # pieces of names in files on the Hub, replaced in this order
    tensors:                                                # theirs: ours
      layers.{i}.attention.q_proj.{p}: image.blocks.{i}.attention.query.{p}
      embeddings.cls_token: {to: image.class_token, rearrange: 1 1 d -> 1 d}
    ignore: {"pooler.dense.{p}": what it is for and why nothing here reads it}

`{p}` is what a layer calls its own (weight, bias, running_mean, running_var, num_batches_tracked), any other letter a number;
`{i+1}` counts from 1 where i counts from 0. The first name that fits counts.

What may be said of a tensor, applied in this order (`layout.TensorRule`):

    unstack: e                 along the first axis, ours are numbered by {e}:  (E, 2I, D) -> E times (2I, D)
    rearrange: in out -> out in    axes by name; 1 is an axis of size one, which may come and go
    to: [a, b, c]              three parts of theirs, in order along `axis` (0), each as large as ours is
    resize: grid               a table of places [first + H W, D]: bicubic where our grid is another; `window`: likewise, of offsets
                               [(2H - 1)(2W - 1), heads]; `rows`: the first rows, where our texts are shorter
    equals: wte.weight         their other name for the same tensor, where they tie the two: a file may hold either or both; both
                               must be equal where ours are one; without `to` it is only compared

One tensor of ours from several of theirs, and what needs no tensor of theirs:

    join: {"text.blocks.{i}.kv.weight": {of: ["layers.{i}.k.weight", "layers.{i}.v.weight"], axis: 0}}
          with `fold: weight_norm` they are the lengths g and the directions v of a weight, and ours is  g v / |v|
    computed: {image.position: a table of waves, which follows from the sizes}

Loading is complete, or an error that lists every tensor that is missing, unused, or of another shape. Nothing but safetensors is
read unless the caller says so. Flow mappings quote what holds braces: `{to: "text.blocks.{i}.norm.{p}"}`.
"""

from mmspec.weights.build import build
from mmspec.weights.inherit import inherit
from mmspec.weights.load import Loaded, load_weights

__all__ = ["Loaded", "build", "inherit", "load_weights"]
