//! What [`crate::roots`] says of a block, as a finding. Pure.

use isotherm_types::Dataset;

use super::fault::Fault;
use super::report::{Place, Problem, Report};
use crate::roots::RootFault;

/// The dataset whose rows do not fit, headers being what their hashes say.
pub(super) fn dataset_of(fault: &RootFault) -> Dataset {
    match fault {
        RootFault::HeaderHash { .. } => Dataset::Blocks,
        RootFault::LogsBloom {}
        | RootFault::LogCount { .. }
        | RootFault::LogTransaction { .. }
        | RootFault::LogPlace { .. } => Dataset::Logs,
        // Receipts are made of logs as well, but mostly of these.
        RootFault::ReceiptsRoot { .. }
        | RootFault::TransactionCount { .. }
        | RootFault::TransactionPlace { .. }
        | RootFault::TransactionsRoot { .. }
        | RootFault::TransactionHash { .. }
        | RootFault::Gas { .. }
        | RootFault::Column { .. }
        | RootFault::Cell { .. }
        | RootFault::Unverifiable { .. } => Dataset::Transactions,
    }
}

/// Takes in what is wrong with the rows at `place`, or that nobody can say.
pub(super) fn take(fault: &RootFault, place: Place<'_>, report: &mut Report) {
    let name = match fault {
        RootFault::Unverifiable { .. } => {
            let reason = fault.to_string();
            return report.cannot_judge(place.dataset, place.blocks, &reason);
        }
        RootFault::HeaderHash { .. } => Fault::HeaderHash,
        RootFault::TransactionsRoot { .. } | RootFault::TransactionHash { .. } | RootFault::Cell { .. } => {
            Fault::TransactionsRoot
        }
        RootFault::ReceiptsRoot { .. } | RootFault::Gas { .. } | RootFault::LogTransaction { .. } => {
            Fault::ReceiptsRoot
        }
        RootFault::LogsBloom {} => Fault::LogsBloom,
        // The file's columns were compared before.
        RootFault::Column { .. } => Fault::SchemaDiffers,
        RootFault::TransactionCount { .. }
        | RootFault::TransactionPlace { .. }
        | RootFault::LogCount { .. }
        | RootFault::LogPlace { .. } => Fault::CountDiffers,
    };
    report.find(place, Problem::new(name, format!("block {}: {fault}", place.blocks.start())));
}
