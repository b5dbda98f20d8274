"""Files in fewer bits than the model was trained in, and what that costs.

options       what a target may ask, and which runtime can do what
roles         which layers may have fewer bits: no router, nothing that decides who leaves
layers        finding them in a file, and putting other nodes in their place
dynamic       int8, ranges found as the file runs        static   int8, ranges known from `calibration`
blocks        int4 weights                               half     float16
stored        reading weights back from such a file
task          the data of a trained model                errors   how far outputs and exits are from the torch module
texts         tokens that would be others                fidelity what fewer bits cost, within what a target allows
lowering      from a draft that passed to one in the target's precision
search        which groups of layers stay in float32
"""
