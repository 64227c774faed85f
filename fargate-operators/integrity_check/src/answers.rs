//! What endpoints say of final blocks, each by itself: a pool would ask the one that does best.
//!
//! An endpoint that fails says nothing from then on, and nobody speaks in its place.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::future::join_all;
use isotherm_chain::{ChainClient, ChainError, EndpointRequests, Finality, RpcUrl};
use isotherm_cold_store::integrity::{EndpointAnswers, SampledHeader};
use isotherm_types::{ChainId, Classified as _, SystemClock};

use crate::config::AnchorConfig;
use crate::error::IntegrityError;

/// The endpoints of a chain that can be asked, and how many must agree.
#[derive(Debug)]
pub struct Endpoints {
    endpoints: Vec<Endpoint>,
    finality: Finality,
    agree: usize,
}

#[derive(Debug)]
struct Endpoint {
    /// Scheme, host and port.
    name: String,
    client: ChainClient,
}

impl Endpoints {
    /// Connects to those of `urls` that answer. One that is listed twice has one voice.
    ///
    /// # Errors
    /// [`IntegrityError::TooFewEndpoints`] if there are fewer than must agree, [`IntegrityError::Unreachable`] if too few
    /// of them answer; an endpoint that serves another chain.
    pub async fn connect(urls: Vec<RpcUrl>, chain_id: ChainId, anchors: &AnchorConfig) -> Result<Self, IntegrityError> {
        let mut names = HashSet::new();
        let urls: Vec<RpcUrl> = urls.into_iter().filter(|url| names.insert(url.to_string())).collect();
        let agree = anchors.agree.map_or(urls.len() / 2 + 1, std::num::NonZero::get);
        if urls.len() < agree {
            return Err(IntegrityError::TooFewEndpoints { endpoints: urls.len(), agree });
        }
        let limits = anchors.profile.limits();
        let connecting = urls.into_iter().map(|url| {
            let (name, limits) = (url.to_string(), limits.clone());
            async move {
                let client = ChainClient::connect(vec![url], chain_id, limits, Arc::new(SystemClock)).await?;
                Ok::<_, ChainError>(Endpoint { name, client })
            }
        });
        let (mut endpoints, mut last) = (Vec::new(), None);
        for connected in join_all(connecting).await {
            match connected {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error @ ChainError::WrongChainId { .. }) => return Err(error.into()),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(last) if endpoints.len() < agree => {
                Err(IntegrityError::Unreachable { answering: endpoints.len(), agree, last: Box::new(last) })
            }
            _ => Ok(Self { endpoints, finality: anchors.finality, agree }),
        }
    }

    /// What says how many requests were sent to each endpoint so far.
    pub(crate) fn request_counter(&self) -> impl Fn() -> Vec<EndpointRequests> + Send + Sync + use<> {
        let counters: Vec<_> = self.endpoints.iter().map(|endpoint| endpoint.client.request_counter()).collect();
        move || counters.iter().flat_map(|counter| counter()).collect()
    }

    /// How many must say the same of a block.
    pub(crate) fn agree(&self) -> usize {
        self.agree
    }

    /// What each endpoint says of the blocks of `headers`; `asked` hears of each question that was answered.
    pub(crate) async fn ask(&self, headers: &[SampledHeader], asked: &(dyn Fn() + Sync)) -> Vec<EndpointAnswers> {
        join_all(self.endpoints.iter().map(|endpoint| endpoint.ask(headers, self.finality, asked))).await
    }
}

impl Endpoint {
    async fn ask(&self, headers: &[SampledHeader], finality: Finality, asked: &(dyn Fn() + Sync)) -> EndpointAnswers {
        let mut hashes = HashMap::with_capacity(headers.len());
        for SampledHeader { number, .. } in headers {
            match self.client.final_block(*number, finality).await {
                Ok(Some(block)) => {
                    hashes.insert(block.number, block.hash);
                }
                // It has not come as far, or has it no more.
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        rpc.endpoint = self.name, error.code = error.code(), error.message = %error,
                        block.number = number.0, "an endpoint is not asked about the other blocks",
                    );
                    break;
                }
            }
            asked();
        }
        EndpointAnswers { endpoint: self.name.clone(), hashes }
    }
}
