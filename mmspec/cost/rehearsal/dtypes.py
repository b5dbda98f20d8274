"""Types of numbers."""

from typing import NamedTuple


class Dtype(NamedTuple):
    name: str
    bytes: int
    floating: bool


F32, BF16 = Dtype("f32", 4, True), Dtype("bf16", 2, True)
F64, I64, I32, U8, BOOL = (
    Dtype("f64", 8, True), Dtype("i64", 8, False), Dtype("i32", 4, False), Dtype("u8", 1, False), Dtype("bool", 1, False),
)  # fmt: skip
DTYPES = {dtype.name: dtype for dtype in (F32, BF16, F64, I64, I32, U8, BOOL)}
