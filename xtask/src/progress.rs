//! Progress of long work: a live line on a terminal, plain lines elsewhere.
