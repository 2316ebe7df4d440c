//! Root file systems and trees, assembled from locked packages and wheels.
