"""Triton: a model repository in the package, ready for `tritonserver --model-repository`.

options.py      what a target says of it
config.py       config.pbtxt of a model, held against its file and against Triton's own rules
repository.py   the folders: one model, or stages and the model in Python that runs them
backend.py      that model, copied as it is
"""
