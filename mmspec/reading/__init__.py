"""How what a person has becomes what a model takes: pictures, texts, sounds, clips, as arrays. Training and serving read alike.

    Preprocessing     every input's column, and what the classes of each head are called; saved as preprocessing.json

Needs numpy and Pillow; soundfile and tokenizers where sounds and a tokenizer.json are read. Torch is not imported.
"""
