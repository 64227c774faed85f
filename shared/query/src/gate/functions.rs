//! The functions that a query may use, by name.
//!
//! A function is on the list if its result depends on its arguments and the clock only; those for chain data are the
//! sandbox's own (`shared/sql_sandbox/src/functions.rs`). Off the list is what reads or writes settings, files,
//! secrets, logs, the catalogue or another query's text (`getenv`, `current_setting`, `getvariable`, `query`,
//! `read_*`, `json_execute_serialized_sql`, `write_log`), and what only wastes time (`sleep_ms`).

use std::collections::HashSet;
use std::sync::LazyLock;

/// Functions that may stand in `FROM`.
const TABLE_FUNCTIONS: [&str; 3] = ["range", "generate_series", "unnest"];

const OPERATORS: &str = "+ - * / // % ** ^ @ & && | || ~ << >> <@ @> ^@ ! ~~ !~~ ~~* !~~* ~~~ -> ->>";

const AGGREGATES_AND_WINDOWS: &str = "
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null arg_min arg_min_null
    argmax argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star countif
    covar_pop covar_samp cume_dist dense_rank entropy favg first first_value fsum geomean geometric_mean group_concat
    grouping grouping_id histogram histogram_exact json_group_array json_group_object kahan_sum kurtosis kurtosis_pop
    lag last last_value lead list listagg mad max max_by mean median min min_by mode nth_value ntile percent_rank
    product quantile quantile_cont quantile_disc rank rank_dense regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile row_number sem skewness stddev stddev_pop stddev_samp
    string_agg sum sum_no_overflow sumkahan var_pop var_samp variance wavg weighted_avg";

const NUMBERS: &str = "
    abs acos acosh add asin asinh atan atan2 atanh bin bit_count bit_length bit_position bitstring cbrt ceil ceiling
    cos cosh cot degrees divide equi_width_bins even exp factorial fdiv floor fmod gamma gcd get_bit greatest
    greatest_common_divisor hamming hash isfinite isinf isnan lcm least least_common_multiple lgamma ln log log10 log2
    mismatches mod multiply nextafter pi pow power radians random round round_even roundbankers set_bit sign signbit
    sin sinh sqrt subtract tan tanh trunc xor";

const TEXT_AND_BYTES: &str = "
    array_to_string ascii bar base64 char_length character_length chr concat concat_ws contains damerau_levenshtein
    decode editdist3 encode ends_with format format_bytes formatreadabledecimalsize formatreadablesize from_base64
    from_binary from_hex hex ilike_escape instr jaccard jaro_similarity jaro_winkler_similarity lcase left
    left_grapheme len length length_grapheme levenshtein like_escape lower lpad ltrim md5 md5_number
    md5_number_lower md5_number_upper nfc_normalize not_ilike_escape not_like_escape octet_length ord position prefix
    printf regexp_escape regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
    regexp_split_to_array repeat replace reverse right right_grapheme rpad rtrim sha1 sha256 split split_part
    starts_with str_split str_split_regex string_split string_split_regex string_to_array strip_accents strlen strpos
    substr substring substring_grapheme suffix to_base to_base64 to_binary to_hex translate trim ucase unbin unhex
    unicode upper url_decode url_encode";

const TIMES: &str = "
    age ago century current_date current_localtime current_localtimestamp current_timestamp date_add date_diff
    date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear
    days_in_month decade epoch epoch_ms epoch_ns epoch_us era get_current_time get_current_timestamp hour isodow
    isoyear julian last_day make_date make_time make_timestamp make_timestamp_ms make_timestamp_ns make_timestamptz
    microsecond millennium millisecond minute month monthname nanosecond normalized_interval now quarter second
    strftime strptime time_bucket timezone timezone_hour timezone_minute to_centuries to_days to_decades to_hours
    to_microseconds to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks
    to_years today transaction_timestamp try_strptime week weekday weekofyear year yearweek";

const NESTED: &str = "
    aggregate apply array_aggr array_aggregate array_append array_apply array_cat array_concat array_contains
    array_distinct array_extract array_filter array_grade_up array_has array_has_all array_has_any array_indexof
    array_intersect array_length array_pop_back array_pop_front array_position array_prepend array_push_back
    array_push_front array_reduce array_resize array_reverse array_reverse_sort array_select array_slice array_sort
    array_transform array_unique array_value array_where array_zip cardinality element_at filter flatten
    generate_series generate_subscripts grade_up list_aggr list_aggregate list_any_value list_append list_apply
    list_approx_count_distinct list_avg list_bit_and list_bit_or list_bit_xor list_bool_and list_bool_or list_cat
    list_concat list_contains list_count list_distinct list_element list_entropy list_extract list_filter list_first
    list_grade_up list_has list_has_all list_has_any list_histogram list_indexof list_intersect list_kurtosis
    list_last list_mad list_max list_median list_min list_mode list_pack list_position list_prepend list_product
    list_reduce list_resize list_reverse list_reverse_sort list_select list_sem list_skewness list_slice list_sort
    list_stddev_pop list_stddev_samp list_string_agg list_sum list_transform list_unique list_value list_var_pop
    list_var_samp list_where list_zip map map_concat map_contains map_contains_entry map_contains_value map_entries
    map_extract map_extract_value map_from_entries map_keys map_values range reduce row struct_concat struct_contains
    struct_extract struct_extract_at struct_has struct_indexof struct_insert struct_keys struct_pack struct_position
    struct_update struct_values union_extract union_tag union_value unnest";

const JSON_AND_OTHERS: &str = "
    array_to_json can_cast_implicitly cast_to_type coalesce constant_or_null from_json from_json_strict
    gen_random_uuid get_type if ifnull json json_array json_array_length json_contains json_exists json_extract
    json_extract_path json_extract_path_text json_extract_string json_group_structure json_keys json_merge_patch
    json_object json_pretty json_quote json_structure json_transform json_transform_strict json_type json_valid
    json_value nullif row_to_json switch to_json typeof uuid uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7";

/// For addresses, topics, amounts, logs and calls: docs/sql.md.
const CHAIN: &str = "
    address_to_topic bytearray_substring bytearray_to_int256 bytearray_to_uint256 bytes_substring bytes_to_int256
    bytes_to_uint256 bytes_to_uint64 decode_call decode_log event_topic from_hex_0x function_selector keccak256
    to_hex_0x topic_to_address uint256_to_bytes wei_to_eth wei_to_gwei";

static FUNCTIONS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    [OPERATORS, AGGREGATES_AND_WINDOWS, NUMBERS, TEXT_AND_BYTES, TIMES, NESTED, JSON_AND_OTHERS, CHAIN]
        .into_iter()
        .flat_map(str::split_whitespace)
        .collect()
});

/// Whether `name` is a scalar, aggregate or window function, or an operator, that a query may use.
pub fn is_allowed(name: &str) -> bool {
    FUNCTIONS.contains(name.to_ascii_lowercase().as_str())
}

/// Whether `name` is a table function that a query may use.
pub fn is_allowed_in_from(name: &str) -> bool {
    TABLE_FUNCTIONS.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_beyond_its_arguments_is_off_the_list() {
        for name in [
            "getenv",
            "getvariable",
            "current_setting",
            "current_query",
            "current_database",
            "query",
            "query_table",
            "read_csv",
            "read_text",
            "read_blob",
            "read_parquet",
            "parquet_scan",
            "glob",
            "sniff_csv",
            "which_secret",
            "json_execute_serialized_sql",
            "json_serialize_sql",
            "json_deserialize_sql",
            "json_serialize_plan",
            "write_log",
            "sleep_ms",
            "pg_sleep",
            "nextval",
            "currval",
            "setseed",
            "error",
            "duckdb_settings",
            "duckdb_secrets",
            "duckdb_views",
            "parse_duckdb_log_message",
            "in_search_path",
            "txid_current",
            "version",
            "pragma_version",
            "test_all_types",
            "pg_get_viewdef",
            "inet_server_addr",
            "enable_logging",
            "checkpoint",
            "st_read",
            "postgres_query",
            "postgres_scan",
            "seq_scan",
            "arrow_scan",
            "decode_log_of_topics",
            "",
        ] {
            assert!(!is_allowed(name) && !is_allowed_in_from(name), "{name}");
        }
    }

    #[test]
    fn the_page_of_sql_has_every_function_for_chain_data() {
        let page = include_str!("../../../../docs/sql.md");
        for name in CHAIN.split_whitespace() {
            assert!(page.contains(&format!("| `{name}(")), "{name} is not in the table of docs/sql.md");
        }
    }

    #[test]
    fn case_does_not_matter() {
        assert!(is_allowed("COUNT") && is_allowed_in_from("Range") && !is_allowed("GetEnv"));
    }
}
