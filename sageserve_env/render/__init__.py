"""Rendering: a text table, and a panel drawn with Matplotlib (imported at the first frame)."""

from sageserve_env.render.renderer import RENDER_MODES, Renderer

__all__ = ["RENDER_MODES", "Renderer"]
