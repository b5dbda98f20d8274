"""Names a node may bear: it becomes an attribute of a module, an argument of `forward`, and a variable in the written source."""

from __future__ import annotations

import keyword
import re

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SPEC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")

# what torch.nn.Module and torch.fx.GraphModule already call something, and what the written source imports
_TAKEN = """
    T_destination add_module add_submodule apply bfloat16 buffers call_super_init children code compile cpu cuda
    delete_all_unused_submodules delete_submodule double dump_patches eval extra_repr float forward get_buffer
    get_extra_state get_parameter get_submodule graph half ipu load_state_dict meta modules mtia name named_buffers
    named_children named_modules named_parameters nested_str parameters print_readable recompile
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule shape_env share_memory state_dict to
    to_empty to_folder train training type xpu zero_grad
    self torch nn math Tensor inputs outputs int bool str len range tuple list dict print super
"""
TAKEN = frozenset(_TAKEN.split())


def objection(name: str) -> str | None:
    """Why a node cannot be called so; None where it can."""
    if "." in name:
        return "a name has no dots; they lead to what is inside"
    if name.startswith("_"):
        return "a name does not begin with an underscore"
    if not _IDENTIFIER.fullmatch(name):
        return "a name is an identifier of up to 64 letters, digits and underscores (a-z, A-Z, 0-9, _) that begins with a letter"
    if keyword.iskeyword(name):
        return "it is a keyword of Python, and names become attributes"
    return "torch modules already call something so, and names become attributes" if name in TAKEN else None


def is_spec_name(name: str) -> bool:
    """Whether a spec may be called so: it becomes the name of a folder."""
    return _SPEC_NAME.fullmatch(name) is not None
