"""Rendering: a text table, and a panel drawn with Matplotlib (imported at the first frame)."""

from sageserve_env.render.renderer import RENDER_MODES, Renderer, checked_mode, warn_of_no_mode

__all__ = ["RENDER_MODES", "Renderer", "checked_mode", "warn_of_no_mode"]
