"""Names on the Hugging Face Hub, where a network is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmspec.errors import UserError
from mmspec.weights import checkpoint


def downloaded(repository: str) -> Path:
    """The file, or the index with its shards beside it, of `org/name`, from the cache or the network.

    Raises   UserError: huggingface_hub is not installed, there is no network, no such repository, no safetensors in it.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise UserError(
            f"{repository} is no file here, and to look on the Hub needs huggingface_hub: pip install huggingface_hub"
        ) from error
    patterns = ["*.safetensors", checkpoint.INDEX]
    try:
        folder: Any = huggingface_hub.snapshot_download(repository, allow_patterns=patterns)
    except (errors.RepositoryNotFoundError, errors.GatedRepoError) as error:
        raise UserError(f"the Hub has no {repository} that you may read, and there is no such path here") from error
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"{repository} is no path here, and the Hub cannot be reached; download its {checkpoint.SINGLE} and name that file"
        ) from error
    except Exception as error:  # the client's transport has errors of its own, by version
        raise UserError(f"{repository} is no path here, and the Hub does not answer: {error}") from error
    return Path(folder)
