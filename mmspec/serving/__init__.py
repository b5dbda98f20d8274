"""A package behind HTTP: for trying it out, and for small deployments.

serve("package", Limits(batch=32), port=8000)

Needs fastapi and uvicorn (`pip install 'mmspec[serve]'`); nothing here opens a file or an address that a client names.
"""

from mmspec.serving.limits import Limits
from mmspec.serving.server import serve

__all__ = ["Limits", "serve"]
