//! The ops that TensorFlow itself has: an op of ours must have another name.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};
use crate::root::wheel::Wheel;

/// The names of all ops that have a Python function in the wheel: its generated
/// `gen_*.py` files call each by name. Internal ones without (`_Recv`, …) are left out.
pub fn op_names(wheel: &Wheel) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in wheel.entries() {
        if entry.name.name().starts_with("gen_") && entry.name.name().ends_with(".py") {
            let text = wheel.read(entry)?;
            names.extend(called(&String::from_utf8_lossy(&text)).map(str::to_owned));
        }
    }
    match names.is_empty() {
        false => Ok(names),
        true => Err(Error::new(
            Kind::Archive,
            format!("`{}` has no op in a generated gen_*.py: is it TensorFlow?", wheel.name()),
        )),
    }
}

/// The ops in `_op_def_library._apply_op_helper( "Name", …`.
fn called(text: &str) -> impl Iterator<Item = &str> {
    let calls = text.split("_apply_op_helper(").skip(1);
    calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
}

/// The same, from the repository's tree.
pub fn ops_of(tree: &Path) -> Result<BTreeSet<String>> {
    let path = tree.join(super::OPS);
    let text = std::fs::read_to_string(&path).at("read", &path)?;
    Ok(text.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_are_found_by_the_call_that_makes_them() {
        let text = "  _, _, _op, _outputs = _op_def_library._apply_op_helper(\n        \"Abs\", x=x)\n\
                    \x20 _apply_op_helper(\"Add\", x)\n  _apply_op_helper(name)\n";
        assert_eq!(called(text).collect::<Vec<_>>(), ["Abs", "Add"]);
    }
}
