-- Attempts that hide what they do inside something that a query may have.
-- kind: a text that becomes a query
select * from query('select content from read_text(''@file@'')')
select * from query('from ''@file@''')
select * from query('select ' || '* from ' || chr(39) || '@file@' || chr(39))
select * from query((select 'from ''@file@'''))
select * from query_table('@file@')
select * from query_table(['@file@', 'blocks'])
select * from query_table('duckdb_settings')
select * from query_table('blocks')
select * from json_execute_serialized_sql(json_serialize_sql('select content from read_text(''@file@'')'))
select * from json_execute_serialized_sql('{"error": false, "statements": []}')
select json_serialize_sql('from ''@file@''')
select json_deserialize_sql(json_serialize_sql('from ''@file@'''))
select json_serialize_plan('from ''@file@''')
select * from from_substrait('x'::blob)
select * from from_substrait_json('{}')
select * from get_substrait('from ''@file@''')
select * from python_map_function(1)
-- kind: common tables
with "@file@" as (select 1) from "@file@"
with "@file@" as (from "@file@") from "@file@"
with "planted.csv" as (select 1 a) from "planted.csv"
with duckdb_settings as (from duckdb_settings) from duckdb_settings
with duckdb_views as (select 1), x as (from duckdb_secrets) from x
with recursive duckdb_views as (from duckdb_views union all from duckdb_views) from duckdb_views
with recursive pg_class(a) as (select oid from pg_class union all select a from pg_class) from pg_class
with a as (from pg_tables), pg_tables as (select 1) from a
with a as (with pg_tables as (select 1) from pg_tables) from pg_tables
select * from (with pg_tables as (select 1) from pg_tables), pg_tables
with blocks as (from '@file@') from blocks
with read_text as (select 1) from read_text('@file@')
with "main.read_text" as (select 1) select * from "main.read_text"
with x as materialized (select content from read_text('@file@')) select * from x
with x as not materialized (select content from read_text('@file@')) select * from x
with recursive x(content) using key (content) as (select 'a' union all select content from read_text('@file@')) from x
-- kind: dots, lambdas and stars
select 'DATABASE_URL'.getenv()
select '@file@'.read_text()
select ('allowed_paths').current_setting()
select 'a'.concat('HOME'.getenv())
select list_transform(['HOME'], x -> getenv(x))
select list_transform(['HOME'], lambda x: getenv(x))
select list_filter(['a'], x -> (select content from read_text('@file@')) is not null)
select list_reduce(['a', 'b'], (x, y) -> getenv(x))
select [getenv(x) for x in ['HOME', 'PATH']]
select [x for x in ['a'] if getenv(x) is not null]
select apply(['allowed_paths'], x -> current_setting(x))
select columns(c -> c = getenv('HOME')) from blocks
select columns((select content from read_text('@file@'))) from blocks
select columns(getenv('HOME')) from blocks
select * replace (getenv('HOME') as block_number) from blocks
select * exclude (block_number), getenv('HOME') from blocks
select * like getenv('HOME') from blocks
select #1 from '@file@'
select #1, #2 from read_text('@file@')
select struct_pack(a := getenv('HOME'))
select {'a': getenv('HOME')}.a
select map {getenv('HOME'): 1}
select row(getenv('HOME'))
select map_from_entries([(getenv('HOME'), 1)])
select unnest([getenv('HOME')])
from unnest([getenv('HOME')])
from range(length(getenv('HOME')))
from generate_series(1, (select count(*) from '@file@'))
select getenv('HOME')::varchar collate nocase
select x'00' || getenv('HOME')
select try(getenv('HOME'))
select coalesce(null, getenv('HOME'))
select case getenv('HOME') when 'a' then 1 end
select cast(getenv('HOME') as blob)
select format('{}', getenv('HOME'))
select printf('%s', getenv('HOME'))
select regexp_replace('a', 'a', getenv('HOME'))
select strftime(now(), getenv('HOME'))
select ('x' || getenv('HOME'))[1:3]
select (getenv('HOME')) in ('a')
select (select getenv('HOME'))
select exists (select getenv('HOME'))
select any_value(getenv('HOME')) from blocks
select string_agg(getenv('HOME'), ',' order by getenv('PATH')) from blocks
select count(*) filter (where getenv('HOME') is null) from blocks
select sum(block_number) over (partition by getenv('HOME')) from blocks
select sum(block_number) over w from blocks window w as (order by getenv('HOME'))
select first_value(getenv('HOME')) over () from blocks
select lag(block_number, length(getenv('HOME'))) over (order by block_number) from blocks
select * from blocks where getenv('HOME') = 'x'
select * from blocks order by getenv('HOME')
select * from blocks group by getenv('HOME')
select * from blocks having getenv('HOME') = 'x'
select * from blocks qualify getenv('HOME') = 'x'
select * from blocks limit length(getenv('HOME'))
select * from blocks offset length(getenv('HOME'))
select distinct on (getenv('HOME')) * from blocks
select * from blocks a join blocks b on getenv('HOME') = 'x'
select * from blocks a asof join '@file@' b on a.block_number >= b.column0
select * from blocks group by grouping sets ((getenv('HOME')), ())
select * from blocks group by cube (getenv('HOME'))
values (getenv('HOME'))
values ((select content from read_text('@file@')))
from (values (getenv('HOME'))) t(a)
from (from (from (from '@file@')))
from (select * from read_text('@file@')) using sample 10
from blocks using sample reservoir (10 rows) repeatable (length(getenv('HOME')))
from (describe '@file@')
from (summarize read_csv('@file@'))
from (show tables)
from (pivot blocks on block_number using count(*))
from blocks pivot (sum(block_number) for block_number in (select column0 from '@file@'))
from blocks unpivot (a for b in (block_number))
from blocks at (version => 1)
from blocks at (timestamp => getenv('HOME')::timestamp)
from '@file@' at (version => 1)
select default
select getenv('HOME') as "select"
select "getenv"('HOME')
select GETENV('HOME')
select main.getenv('HOME')
select "main"."getenv"('HOME')
select system.main.getenv('HOME')
select memory.main.getenv('HOME')
select pg_catalog.current_setting('allowed_paths')
select getenv(chr(72) || 'OME')
select getenv/**/('HOME')
-- kind: aggregates named by a text
-- The gate lets the function pass, which knows aggregates only; the engine refuses the name before it runs.
select list_aggregate(['HOME'], 'getenv')
select list_aggregate([1], 'read_text')
select list_aggr(['allowed_paths'], 'current_setting')
