"""avatar-eraser: every accepted deletion of a MetaStudio training job ends with what MetaStudio answered."""

__version__ = "0.2.0"
