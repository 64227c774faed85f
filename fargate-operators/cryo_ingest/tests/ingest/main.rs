//! From a chain to files in a bucket: the same bytes as compaction's, in any order of tasks, after any break, and
//! nothing that is not final or not true.

mod breaking_off;
mod bytes;
mod cryo;
mod process;
mod refusing;
mod world;
