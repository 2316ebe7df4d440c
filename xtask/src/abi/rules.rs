//! The rules: pure functions from what a library is to what is wrong with it.

use super::elf::Elf;
use super::finding::Finding;
use super::policy::Policy;
use super::provider::Providers;

mod contents;
mod linking;
mod missing;
mod symbols;

/// One rule.
type Check = fn(&Elf<'_>, &Providers<'_>, &Policy) -> Vec<Finding>;

/// Every rule, in the order in which a person would look.
const RULES: [Check; 11] = [
    linking::needed,
    linking::runpath,
    symbols::absl,
    missing::provided,
    symbols::versions,
    symbols::copies,
    symbols::protobuf,
    contents::isa,
    contents::paths,
    contents::build_id,
    linking::hardening,
];

/// All that is wrong with one library.
pub(super) fn check(elf: &Elf<'_>, providers: &Providers<'_>, policy: &Policy) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule(elf, providers, policy)).collect()
}
