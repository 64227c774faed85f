//! The limit leg: the same requests, one after the other on one connection as the program sends them, whose answers'
//! bodies are dropped as they come.

use std::sync::Arc;
use std::time::Instant;

use isotherm_lab::benchmark::cpu_of_process;
use isotherm_lab::tape::generate::GeneratedChain;
use isotherm_lab::tape::paced::PacedServer;

use crate::Leg;
use crate::stage::Stage;

/// From the first request to the last byte of the last answer.
pub(crate) async fn ask(stage: &Stage, chain: &Arc<GeneratedChain>, requests: &[Vec<u8>]) -> Leg {
    let server = PacedServer::start(Arc::clone(chain)).await.expect("a server");
    server.reveal_all();
    let client = reqwest::Client::new();
    let (postgres_cpu, emulator_cpu, own_cpu) = (stage.postgres_cpu(), stage.emulator_cpu(), cpu_of_process());
    let (began, mut json_bytes) = (Instant::now(), 0);
    for request in requests {
        let asked = client.post(server.url()).header("content-type", "application/json").body(request.clone());
        let mut answer = asked.send().await.expect("the server answers");
        while let Some(piece) = answer.chunk().await.expect("the answer comes whole") {
            json_bytes += piece.len() as u64;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(json_bytes, server.served_bytes(), "every byte has come");
    Leg {
        seconds,
        staged_seconds: seconds,
        program_cpu: None,
        own_cpu: cpu_of_process() - own_cpu,
        postgres_cpu: stage.postgres_cpu() - postgres_cpu,
        emulator_cpu: stage.emulator_cpu() - emulator_cpu,
        peak_memory_mib: None,
        json_bytes,
    }
}
