//! The tests of what the engine shows to others, one program: each test binary would hold all of its libraries once more.

mod ansible_shared;
mod fingerprints;
mod parents;
mod topology_graph;
mod topology_hostile;
mod topology_shared;
