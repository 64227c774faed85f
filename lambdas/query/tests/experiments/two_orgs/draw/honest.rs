//! Questions that anybody may ask about their own, and mistakes in them.

use isotherm_types::Dataset;
use rand::Rng;
use serde_json::json;

use super::{Draw, Question};

impl Draw {
    pub(super) fn own_rows(&mut self) -> Question {
        let (relation, dataset) = self.own_relation();
        let columns: Vec<&str> = (0..self.random.random_range(1..6)).map(|_| self.column(dataset)).collect();
        let columns = if self.random.random_bool(0.2) { "*".to_owned() } else { columns.join(", ") };
        let (first, span) = (self.block(), self.random.random_range(0..12_u64));
        let sql = format!("select {columns} from {relation} where block_number between {first} and {}", first + span);
        let format = if self.random.random_bool(0.25) { "csv" } else { "json" };
        Question::of(sql).with("format", json!(format))
    }

    pub(super) fn own_groups(&mut self) -> Question {
        let (relation, dataset) = self.own_relation();
        let (key, value) = (self.column(dataset), self.column(dataset));
        let value = match self.random.random_range(0..4) {
            0 => format!("count(distinct {value})"),
            1 => format!("min({value})"),
            2 => format!("max({value})"),
            _ => "sum(block_number)".to_owned(),
        };
        let having = if self.toss() { " having count(*) > 1" } else { "" };
        Question::of(format!("select {key}, count(*) as n, {value} as v from {relation} group by 1{having}"))
    }

    pub(super) fn own_join(&mut self) -> Question {
        let chain = self.own.mark.chain();
        let block = self.block();
        let sql = match self.random.random_range(0..4) {
            0 => format!(
                "select l.block_number, count(*) as n, min(t.nonce) as least from {chain}.logs l
                 join {chain}.transactions t using (block_number, transaction_index) group by 1"
            ),
            1 => format!(
                "select b.block_number, t.from_address from {chain}.blocks b left join {chain}.transactions t
                 on t.block_hash = b.block_hash where b.block_number <= {block}"
            ),
            2 => format!(
                "with l as (select transaction_hash, address from logs where block_number >= {block})
                 select t.value_string, l.address from transactions t join l using (transaction_hash)"
            ),
            _ => format!(
                "select block_number, row_number() over (partition by block_number order by log_index) as place
                   from {chain}.logs where exists (select 1 from {chain}.blocks b where b.block_number = {block})"
            ),
        };
        Question::of(sql)
    }

    /// Values that become something that they are not: the error quotes one of them.
    pub(super) fn failing_cast(&mut self) -> Question {
        let (relation, dataset) = self.own_relation();
        let (column, word) = (self.column(dataset), self.other.mark.word);
        let sql = match self.random.random_range(0..8) {
            0 => format!("select cast(cast({column} as varchar) as integer) from {relation}"),
            1 => format!("select cast(cast({column} as varchar) as date) from {relation}"),
            2 => format!("select strptime(cast({column} as varchar), '%Y-%m-%d') from {relation}"),
            3 => format!("select cast(timestamp as tinyint) from {relation}"),
            4 => format!("select decode(block_hash) from {relation}"),
            5 => format!("select json(cast({column} as varchar)) from {relation}"),
            6 => format!("select cast('{word}' as integer) from {relation}"),
            _ => {
                format!("select cast(chain_id as utinyint) from {dataset} where cast({column} as varchar) <> '{word}'")
            }
        };
        Question::of(sql)
    }

    /// Names that are nearly right: an answer may propose others.
    pub(super) fn mistake(&mut self) -> Question {
        let (relation, dataset) = self.own_relation();
        let (column, word, chain) = (self.column(dataset), self.other.mark.word, self.other.mark.chain());
        let own = self.own.mark.chain();
        let sql = match self.random.random_range(0..10) {
            0 => format!("select adress from {relation}"),
            1 => format!("select {word} from {relation}"),
            2 => format!("select {word}({column}) from {relation}"),
            3 => format!("selct {column} from {relation}"),
            4 => format!("select {column} from {own}.lgos"),
            5 => format!("select m.{column} from {relation} l"),
            6 => format!("select * from {relation} where {chain} = 1"),
            7 => format!("select {chain}.{dataset}.{column} from {relation}"),
            8 => format!("select {column}_of_{word} from {relation} group by all"),
            _ => format!("select {column} from {relation} group by"),
        };
        // Which names are proposed follows from how the wrong one is spelled.
        Question { has_twin: false, ..Question::of(sql) }
    }

    /// A dataset of a chain of which the asker may read others.
    pub(super) fn ungranted_dataset(&mut self) -> Question {
        let is_theirs = |dataset: &Dataset| !super::common_datasets(self.own).contains(dataset);
        let theirs: Vec<Dataset> = Dataset::ALL.into_iter().filter(is_theirs).collect();
        let (dataset, chain) = (self.pick(&theirs), super::NEUTRAL.chain());
        let own = self.own.mark.chain();
        let column = self.column(dataset);
        let sql = match self.random.random_range(0..5) {
            0 => format!("select * from {chain}.{dataset}"),
            1 => format!("select count(*) from {chain}.{dataset}"),
            2 => format!("select {column} from {chain}.{dataset} where block_number = {}", self.block()),
            3 => format!("select a.block_number from {own}.blocks a join {chain}.{dataset} b using (block_number)"),
            // Over all chains: those of this one that are granted, and no other.
            _ => format!(
                "select count(*), max(block_number) from {dataset} where chain_id = {}",
                super::NEUTRAL.chain_id()
            ),
        };
        Question::of(sql)
    }
}
