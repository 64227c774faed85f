//! Prints the JSON Schema of the chains file, as `docs/chains.schema.json` holds it:
//!
//!     cargo run -p isotherm-chain --example chains_schema > docs/chains.schema.json

fn main() {
    println!("{:#}", isotherm_chain::chain_profile::json_schema());
}
