//! Downloads: the only step with a network.
