"""avatar-eraser: every accepted deletion of a MetaStudio training job reaches an honest end."""

__version__ = "0.1.0"
