"""From a model to a file that runs elsewhere, and the proof that it is the model.

report = mmspec.export("fusion_gated", "edge_cpu_fp32", "package")
report.path, report.max_error
"""

from mmspec.deploy.package import export
from mmspec.deploy.parity import Mismatch
from mmspec.deploy.report import Report
from mmspec.deploy.target import Target, load_target, read_target

__all__ = ["Mismatch", "Report", "Target", "export", "load_target", "read_target"]
