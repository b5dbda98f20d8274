"""What a target says of TensorRT.

tensorrt: {version: "10.3", workspace_mib: 2048, optimum: {batch: 1, length: 32}}
"""

import re

from pydantic import Field, PositiveInt, field_validator

from mmspec.deploy.record import Record
from mmspec.deploy.tensorrt.operators import FIRST, LAST, version_of


class Optimum(Record):
    """The sizes that the engine is tuned for; between the least and the greatest it runs with any."""

    batch: PositiveInt = Field(1, description="samples at a time")
    length: PositiveInt | None = Field(None, description="tokens of each text; the longest by default")


class TensorRT(Record):
    """Which TensorRT, and what it may use to build."""

    version: str = Field(
        description='its version, "10.3": what its parser takes is checked against this version\'s documents'
    )
    workspace_mib: PositiveInt | None = Field(
        None, description="memory that a layer may use, in MiB; all of the device by default"
    )
    optimum: Optimum = Field(default_factory=Optimum, description="the sizes that the engine is tuned for")

    @field_validator("version")
    @classmethod
    def _is_known(cls, version: str) -> str:
        ends = ".".join(map(str, FIRST)), ".".join(map(str, LAST))
        if not re.fullmatch(r"\d+\.\d+", version):
            raise ValueError(f'a version of TensorRT is two numbers, such as "10.3", found {version!r}')
        if not FIRST <= version_of(version) <= LAST:
            raise ValueError(f"TensorRT {version} is outside of {ends[0]} to {ends[1]}, whose documents are known")
        return version
