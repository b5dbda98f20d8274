"""A package as whoever receives it meets it: what lies where, and whether it is what it says. Needs neither torch nor the compiler.

report = mmspec.verify("package")
report.problems, report.max_error
"""
