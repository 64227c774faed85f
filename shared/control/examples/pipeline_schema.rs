//! Prints the JSON Schema of the pipeline file, as `docs/pipeline.schema.json` holds it:
//!
//!     cargo run -p isotherm-control --example pipeline_schema > docs/pipeline.schema.json

fn main() {
    println!("{:#}", isotherm_control::pipeline::json_schema());
}
