//! The repository's own files and a load, for tests.

use std::path::Path;

use isotherm_chain::ChainProfile;
use isotherm_local_stack::Stack;
use isotherm_types::ChainId;

use super::bill::Bill;
use super::counts::{self, Counts};
use super::environment::{self, Figures};
use super::load::{Load, Month};
use super::prices::{self, PriceFile, Prices};
use super::view::Head;
use super::{Inputs, reckon};

#[derive(Clone)]
pub(super) struct Scene {
    environment: &'static str,
    pub(super) stack: Stack,
    pub(super) figures: Figures,
    pub(super) prices: PriceFile<Prices>,
    pub(super) counts: Counts,
    pub(super) load: Load,
}

impl Scene {
    /// What `isotherm cost --env ENVIRONMENT --tps N` reckons with.
    pub(super) fn of(environment: &'static str, transactions_per_second: u32) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let monad = ChainProfile::built_in(ChainId(143)).unwrap();
        Self {
            environment,
            stack: Stack::read(&root.join("terraform/stack.yaml")).unwrap(),
            figures: environment::read(&root, environment).unwrap(),
            prices: prices::parse(&prices::text(None).unwrap()).unwrap(),
            counts: counts::read().unwrap(),
            load: Load {
                transactions_per_second,
                block_time_ms: monad.block_time_ms,
                partition_blocks: monad.partition_blocks,
                rules: 100,
                queries_per_day: 1_000,
                hot_hours: 24,
                history_months: 1,
            },
        }
    }

    /// Blocks each second, 10,000 to a partition: figures that can be reckoned by hand.
    pub(super) fn by_the_second(environment: &'static str, transactions_per_second: u32) -> Self {
        let mut scene = Self::of(environment, transactions_per_second);
        (scene.load.block_time_ms, scene.load.partition_blocks) = (1_000, 10_000);
        scene
    }

    /// What `look` makes of the inputs.
    pub(super) fn with<T>(&self, look: impl FnOnce(&Inputs<'_>) -> T) -> T {
        look(&Inputs {
            stack: &self.stack,
            figures: &self.figures,
            prices: &self.prices.prices,
            instances: &self.prices.database_instances,
            counts: &self.counts,
            load: &self.load,
            month: &Month::of(&self.load, &self.counts),
        })
    }

    pub(super) fn bill(&self) -> Bill {
        self.with(reckon).unwrap()
    }

    pub(super) fn head(&self) -> Head<'_> {
        Head { environment: self.environment, chain: "monad", load: &self.load, prices: &self.prices }
    }
}
