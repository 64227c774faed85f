//! `isotherm query` as a command: against a function that answers by a script, over real HTTP.

mod commands;
mod prompt;
mod scene;
mod server;
