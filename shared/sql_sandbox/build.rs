//! Tells the linker where the sandbox finds `libduckdb.so` at run time.
//!
//! In order: beside the program (the Lambda's zip), in `lib` beside or above it, in a Lambda layer, and in the folder
//! that this build linked against. The last one is left out of what is released (`ISOTHERM_RELEASE`): it is a folder of
//! the building machine only.

#[expect(clippy::disallowed_methods, reason = "a build script is configured by its environment")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    println!("cargo:rerun-if-env-changed=ISOTHERM_RELEASE");
    let mut folders =
        vec!["$ORIGIN".to_owned(), "$ORIGIN/lib".to_owned(), "$ORIGIN/../lib".to_owned(), "/opt/lib".to_owned()];
    let is_release = std::env::var_os("ISOTHERM_RELEASE").is_some();
    if let (Ok(linked), false) = (std::env::var("DUCKDB_LIB_DIR"), is_release) {
        match std::fs::canonicalize(&linked) {
            Ok(folder) => folders.push(folder.display().to_string()),
            Err(error) => println!("cargo:warning=DUCKDB_LIB_DIR={linked} cannot be read: {error}"),
        }
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folders.join(":"));
}
