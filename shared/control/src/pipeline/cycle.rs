//! Jobs that would feed each other for ever through their datasets. Pure; time is linear in the length of the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use isotherm_types::{ChainId, Dataset};

use super::read::Fault;
use super::tree::{Node, quoted};
use crate::jobs::DatasetName;

/// One fault for each circle; circles that share a job are reported once.
pub(super) fn find(jobs: &[Node]) -> Vec<Fault> {
    let graph = Graph::of(jobs);
    graph.circles().into_iter().filter_map(|circle| describe(jobs, &circle)).collect()
}

fn describe(jobs: &[Node], circle: &[usize]) -> Option<Fault> {
    let first = *circle.iter().min()?;
    let start = circle.iter().position(|&job| job == first)?;
    let around = circle[start..].iter().chain(&circle[..start]).chain([&first]);
    let names: Vec<String> =
        around.map(|&job| jobs[job].text_of("name").map_or_else(|| "?".to_owned(), quoted)).collect();
    let place = jobs[first].value("output_datasets").map_or(jobs[first].place, |node| node.place);
    Some(place.fault(format!("jobs feed each other for ever through their datasets: {}", names.join(" → "))))
}

/// Nodes `0..job_count` are jobs, the others are datasets as written and as read. A job leads to what it writes, that to
/// what it covers of what is read, and that to the jobs that read it.
struct Graph {
    job_count: usize,
    edges: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Written,
    Read,
}

impl Graph {
    fn of(jobs: &[Node]) -> Self {
        let mut graph = Self { job_count: jobs.len(), edges: vec![Vec::new(); jobs.len()] };
        let mut nodes = HashMap::new();
        let mut chains: BTreeMap<Dataset, BTreeSet<Option<ChainId>>> = BTreeMap::new();
        for (job, node) in jobs.iter().enumerate() {
            for name in datasets(node, "output_datasets") {
                let written = graph.node(&mut nodes, Side::Written, name);
                graph.edges[job].push(written);
                chains.entry(name.dataset).or_default().insert(name.chain_id);
            }
            for name in datasets(node, "input_datasets") {
                let read = graph.node(&mut nodes, Side::Read, name);
                graph.edges[read].push(job);
                chains.entry(name.dataset).or_default().insert(name.chain_id);
            }
        }
        for (dataset, chain_ids) in chains {
            let all = DatasetName { chain_id: None, dataset };
            let written_by_all = graph.node(&mut nodes, Side::Written, all);
            let read_by_all = graph.node(&mut nodes, Side::Read, all);
            graph.edges[written_by_all].push(read_by_all);
            for chain_id in chain_ids.into_iter().flatten() {
                let one = DatasetName { chain_id: Some(chain_id), dataset };
                let written = graph.node(&mut nodes, Side::Written, one);
                let read = graph.node(&mut nodes, Side::Read, one);
                graph.edges[written].extend([read, read_by_all]);
                graph.edges[written_by_all].push(read);
            }
        }
        graph
    }

    fn node(&mut self, nodes: &mut HashMap<(Side, DatasetName), usize>, side: Side, name: DatasetName) -> usize {
        *nodes.entry((side, name)).or_insert_with(|| {
            self.edges.push(Vec::new());
            self.edges.len() - 1
        })
    }

    /// The jobs of each circle, in their order.
    ///
    /// A walk in depth from each job. An edge to a node of the present path closes a circle, which is taken unless a
    /// node of it belongs to one already.
    fn circles(&self) -> Vec<Vec<usize>> {
        let mut circles = Vec::new();
        let mut is_done = vec![false; self.edges.len()];
        let mut is_on_path = vec![false; self.edges.len()];
        let mut is_taken = vec![false; self.edges.len()];
        for start in 0..self.job_count {
            let mut path: Vec<(usize, usize)> = Vec::new();
            if !is_done[start] {
                is_on_path[start] = true;
                path.push((start, 0));
            }
            while let Some((node, next_edge)) = path.last_mut() {
                let Some(&next) = self.edges[*node].get(*next_edge) else {
                    is_done[*node] = true;
                    is_on_path[*node] = false;
                    path.pop();
                    continue;
                };
                *next_edge += 1;
                if is_on_path[next] {
                    circles.extend(close(&path, next, &mut is_taken, self.job_count));
                } else if !is_done[next] {
                    is_on_path[next] = true;
                    path.push((next, 0));
                }
            }
        }
        circles
    }
}

/// The circle from `target` to the end of `path`; `None` if it touches one that was taken. What is walked is marked, so
/// that all walks together are linear.
fn close(path: &[(usize, usize)], target: usize, is_taken: &mut [bool], job_count: usize) -> Option<Vec<usize>> {
    let mut jobs = Vec::new();
    for &(node, _) in path.iter().rev() {
        if std::mem::replace(&mut is_taken[node], true) {
            return None;
        }
        if node < job_count {
            jobs.push(node);
        }
        if node == target {
            break;
        }
    }
    jobs.reverse();
    Some(jobs)
}

fn datasets<'a>(job: &'a Node, key: &str) -> impl Iterator<Item = DatasetName> + 'a {
    let items = job.value(key).and_then(Node::items).unwrap_or_default();
    items.iter().filter_map(|item| item.text()?.parse().ok())
}
