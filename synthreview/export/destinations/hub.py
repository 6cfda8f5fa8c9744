"""The Hugging Face Hub: a dataset repository, one commit for one export.

The token comes from an environment variable that the settings name, else from where
huggingface_hub keeps it. What a commit holds is there at once or not at all; files that are
already there are not sent again. What an earlier export left in the repository is removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from synthreview.export.destinations.base import DestinationError, Parcel


class HubDestination:
    """Repositories `namespace/dataset` of one account or organisation."""

    def __init__(
        self,
        namespace: str,
        endpoint: str = "",
        token_env: str = "HF_TOKEN",  # noqa: S107 - the name of a variable
        private: bool = True,
        title: str = "Hugging Face Hub",
    ) -> None:
        self.namespace = namespace
        self.endpoint = endpoint
        self.token_env = token_env
        self.private = private
        self.title = title

    def send(self, parcel: Parcel, tell: Callable[[int], None]) -> str:
        """Push the folder as one commit. Raises DestinationError, OSError."""
        from huggingface_hub import HfApi

        repository = f"{self.namespace}/{parcel.dataset}"
        api = HfApi(
            endpoint=self.endpoint or None,
            token=os.environ.get(self.token_env) or None,
            library_name="synthreview",
        )
        tell(0)
        with _in_words():
            api.create_repo(repository, repo_type="dataset", private=self.private, exist_ok=True)
        tell(0)
        with _in_words():
            done = api.upload_folder(
                repo_id=repository,
                repo_type="dataset",
                folder_path=parcel.folder,
                commit_message=f"Export {parcel.number}",
                delete_patterns="*",
            )
        tell(sum(path.stat().st_size for _, path in parcel.files()))
        return str(done.commit_url)


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn whatever the library raises into a DestinationError."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        is_right = status in (401, 403, 404)
        raise DestinationError(
            f"The Hub answered {status}{': may the token write there?' if is_right else '.'}",
            permanent=400 <= status < 500 and status not in (408, 429),
        ) from error
    except ValueError as error:
        raise DestinationError(f"The Hub cannot take it: {error}", permanent=True) from error
    except Exception as error:
        # The errors of its HTTP library are no part of what huggingface_hub promises.
        raise DestinationError(f"The Hub failed: {type(error).__name__}.") from error
