"""The small two-stream spec that tests share: built in milliseconds, trained in a second."""

CROSS = "{type: cross_attention, from: [image, text], depth: 1, heads: 2}"


def small_spec(name="small", fusion=CROSS, size=16, length=32, vocabulary=257):
    """Its text; patches are half as wide as the image."""
    return f"""\
name: {name}
inputs:
  image: {{type: image, size: {size}, channels: 1}}
  text: {{type: text, vocab_size: {vocabulary}, length: {length}}}
encoders:
  image: {{type: vit, patch_size: {size // 2}, width: 16, depth: 1, heads: 2}}
  text: {{type: text_transformer, width: 16, depth: 1, heads: 2}}
fusion:
  joint: {fusion}
heads:
  label: {{type: classification, classes: 12}}
objectives:
  - {{type: cross_entropy, head: label, target: answer}}
"""
