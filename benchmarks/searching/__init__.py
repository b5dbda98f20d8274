"""What benchmarks of searches share: problems whose trainings are formulas or a table, the samplers that are compared on them, and
studies that are trained for real."""
