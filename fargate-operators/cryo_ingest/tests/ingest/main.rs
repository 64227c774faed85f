//! From a chain to files in a bucket: the same bytes as compaction's, in any order of tasks, after any break, and
//! nothing that is not final or not true; and back again if an object is damaged.

mod breaking_off;
mod bytes;
mod compaction;
mod cryo;
mod process;
mod refusing;
mod repairing;
mod world;
