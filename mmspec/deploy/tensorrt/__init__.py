"""TensorRT: whether its parser takes a file, what builds the engine, and the engine as a runtime where there is one.

options.py     what a target says of it
operators.py   the operators that the parser takes, by version       limits.py   what it asks of their nodes
parsing.py     files held against both, findings with the spec's lines
profiles.py    smallest, likeliest and largest shape of each input
building.py    engines, and the script and plan that build them; build.py and engine.py are the scripts, copied as they are
"""
