//! The ledger: the digest and surface of everything that came out, as committed insta snapshots.
