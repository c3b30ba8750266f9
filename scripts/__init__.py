"""Programs a developer runs from the repository root; not part of the installed package."""
