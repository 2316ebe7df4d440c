//! Bazel, asked to compile ops: plan, run, ops wheel.
