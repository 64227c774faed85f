//! What [`crate::roots`] says of a block, as a finding. Pure.

use isotherm_types::Dataset;

use super::fault::Fault;
use super::report::{Place, Problem, Report};
use crate::roots::RootFault;

/// The dataset whose rows do not fit, headers being what their hashes say.
pub(super) fn dataset_of(fault: &RootFault) -> Dataset {
    match fault {
        RootFault::HeaderHash { .. } => Dataset::Blocks,
        RootFault::LogsBloom { .. } => Dataset::Logs,
        // Receipts are made of logs as well, but mostly of these.
        _ => Dataset::Transactions,
    }
}

/// Takes in what is wrong with the rows at `place`, or that nobody can say.
pub(super) fn take(fault: &RootFault, place: Place<'_>, report: &mut Report) {
    let name = match fault {
        RootFault::Unverifiable { .. } => {
            let reason = fault.to_string();
            return report.cannot_verify(place.dataset, place.blocks, &reason);
        }
        RootFault::HeaderHash { .. } => Fault::HeaderHash,
        RootFault::TransactionsRoot { .. } => Fault::TransactionsRoot,
        RootFault::ReceiptsRoot { .. } => Fault::ReceiptsRoot,
        RootFault::LogsBloom { .. } => Fault::LogsBloom,
        _ => Fault::CountDiffers,
    };
    report.find(place, Problem::new(name, format!("block {}: {fault}", place.blocks.start())));
}
