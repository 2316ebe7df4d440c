//! `workspace.toml`: what a person pins, parsed strictly into types that cannot be wrong.
