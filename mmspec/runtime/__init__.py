"""A package that answers: what was exported, run without torch and without the compiler.

    session = Session("package")
    session({"image": Path("seven.png"), "text": "which digit is this?"})["answers"]["label"]["answer"]
    Session("writes").write({"image": Path("seven.png"), "text": "a picture of"}, tokens=20)["text"]

Needs numpy and ONNX Runtime; Pillow, soundfile and tokenizers as far as the package reads pictures, sounds and a tokenizer.json.
"""

from mmspec.runtime.ports import BadRequest, Contract
from mmspec.runtime.session import Session

__all__ = ["BadRequest", "Contract", "Session"]
