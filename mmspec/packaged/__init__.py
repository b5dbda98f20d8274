"""A package as whoever receives it meets it: what lies where, and whether it is what it says. Needs neither torch nor the compiler.

found = mmspec.verify("package")
found.problems, found.errors
"""

from mmspec.packaged.verify import Verification, verify

__all__ = ["Verification", "verify"]
